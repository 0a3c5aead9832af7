-- Contract: whether a source is read through foreign tables and so in this session's own transaction; false for PostgreSQL,
-- which is read over dblink, with its snapshot. The one place that tells the two ways apart.
create or replace function etl.is_foreign(p_source text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce((select s.fdw <> 'postgres_fdw' from etl.source s where s.source = p_source), false)
$$;

comment on function etl.is_foreign(text) is
  'Whether a source is read through foreign tables of another wrapper than postgres_fdw. Internal.';
revoke all on function etl.is_foreign(text) from public;
