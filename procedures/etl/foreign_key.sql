-- requires: etl.mysql_columns
-- Contract: the primary key of a table of a source over another wrapper, as far as it tells: MySQL does; null for none.
create or replace function etl.foreign_key(p_source text, p_schema text, p_name text)
returns text[]
language sql
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(m.column_name order by m.ordinal)
  from etl.source s
  cross join etl.mysql_columns(s.source, p_schema, p_name) m
  where s.source = p_source and s.fdw = 'mysql_fdw' and m.is_key
$$;

comment on function etl.foreign_key(text, text, text) is
  'Primary key of a table of a source over another wrapper; null where it does not tell. Internal.';
revoke all on function etl.foreign_key(text, text, text) from public;
