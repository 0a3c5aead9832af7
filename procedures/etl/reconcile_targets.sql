-- Contract: the tables that etl.reconcile() compares: the one named, or all that are captured by log; only copied ones.
create or replace function etl.reconcile_targets(p_source text, p_source_table text)
returns table (source_table_id integer, pipeline text, relation text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_table etl.source_table;
begin
  if p_source_table is not null then
    v_table := etl.find_table(p_source, p_source_table);
  end if;
  return query
    select t.source_table_id, t.pipeline, format('mrr.%I', t.mirror)
    from etl.source_table t
    where t.copied_at is not null and t.enabled
      and case when p_source_table is null then t.capture = 'log' and t.source = coalesce(p_source, t.source)
               else t.source_table_id = v_table.source_table_id end
    order by 1;
end
$$;

comment on function etl.reconcile_targets(text, text) is
  'Tables that etl.reconcile() compares. Raises 42704. For headrace_runner, through etl.reconcile().';
revoke all on function etl.reconcile_targets(text, text) from public;
grant execute on function etl.reconcile_targets(text, text) to headrace_runner;
