-- Contract: compares the partitions of a table captured by log, and which table has its name, with those of the last capture:
-- attaching, detaching and renaming send no change over the slot, so after them the table is compared in full.
create or replace function etl.follow_partitions(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tree text;
begin
  select r.tree into v_tree
  from etl_ext.dblink('headrace_' || (p_table).source, format(
    'select coalesce(md5(string_agg(t.relid::oid::text, '' '' order by t.relid::oid)), %1$L::regclass::oid::text) from pg_partition_tree(%1$L) t',
    format('%I.%I', (p_table).source_schema, (p_table).source_name)))
    r (tree text);
  if v_tree is distinct from (p_table).partition_tree then
    update etl.source_table t
    set partition_tree = v_tree, needs_resync = t.needs_resync or t.copied_at is not null and t.partition_tree is not null
    where t.source_table_id = (p_table).source_table_id;
  end if;
end
$$;

comment on function etl.follow_partitions(etl.source_table) is
  'Has a log table compared in full after its partitions changed, or another table took its name. Needs the open connection. Internal.';
revoke all on function etl.follow_partitions(etl.source_table) from public;
