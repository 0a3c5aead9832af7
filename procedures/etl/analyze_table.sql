-- Contract: gives the planner fresh statistics of a table that has changed much within this transaction. What Citus holds on
-- other nodes too is left to their autovacuum, since a transaction that has written to it here cannot send them ANALYZE.
create or replace function etl.analyze_table(p_table regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pg_extension e where e.extname = 'citus')
     or not exists (select from etl.layout l where l.kind <> 'local' and to_regclass(l.relation) = p_table) then
    execute format('analyze %s', p_table);
  end if;
end
$$;

comment on function etl.analyze_table(regclass) is
  'Analyzes a table, unless it lives on the nodes of a cluster. Internal.';
revoke all on function etl.analyze_table(regclass) from public;
