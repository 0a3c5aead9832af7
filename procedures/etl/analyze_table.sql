-- Contract: gives the planner fresh statistics of a table that has changed much within this transaction. On a cluster, which
-- cannot send ANALYZE after changes, only what the steps join is analyzed: the part that this node holds of a reference
-- table. The rest is left to autovacuum on the nodes.
create or replace function etl.analyze_table(p_table regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text;
  v_shard text;
begin
  if exists (select from pg_extension e where e.extname = 'citus') then
    select l.kind into v_kind from etl.layout l where to_regclass(l.relation) = p_table;
  end if;
  if coalesce(v_kind, 'local') = 'local' then
    execute format('analyze %s', p_table);
  elsif v_kind = 'reference' then
    execute format('select shard_name(s.logicalrelid, s.shardid) from pg_dist_shard s where s.logicalrelid = %L::regclass', p_table) into v_shard;
    if to_regclass(v_shard) is not null then
      execute format('analyze %s', v_shard::regclass);
    end if;
  end if;
end
$$;

comment on function etl.analyze_table(regclass) is
  'Analyzes a table, or what this node of a cluster holds of a reference table. Internal.';
revoke all on function etl.analyze_table(regclass) from public;
