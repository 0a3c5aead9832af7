-- Contract: whether a name is that of a foreign table of a source's server.
create or replace function etl.is_foreign_table_of(p_relation text, p_source text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pg_foreign_table t join pg_foreign_server s on s.oid = t.ftserver
                 where t.ftrelid = to_regclass(p_relation) and s.srvname = p_source)
$$;

comment on function etl.is_foreign_table_of(text, text) is
  'Whether a name is that of a foreign table of a source''s server. Internal.';
revoke all on function etl.is_foreign_table_of(text, text) from public;
