-- requires: dwh.defer_place_index, dwh.ensure_partition, etl.begin_generation, stg.is_copy
-- Contract: attaches the partitions that the waiting batches of a pipeline will need, empty, in a transaction before their
-- publish. A query that was planned before a partition was attached does not read it, though it sees all else that was
-- committed with it: a reader would miss the facts of a batch and see its aggregates.
-- Then new generations of facts begin (etl.begin_generation), here since several pipelines may add to the same facts.
-- A large copy that waits (mrr.begin_copy) fills its partition before it is attached, since that is much faster, and a first load
-- has one index less to make (dwh.defer_place_index). What goes wrong here is left to the publish to tell.
create or replace function etl.prepare_partitions(p_pipeline text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform dwh.ensure_partition(n.target, n.month)
  from (
    select distinct s.target, date_trunc('month', b.captured_at at time zone w.time_zone)::date as month
    from etl.warehouse w
    cross join etl.settings x
    cross join etl.batch b
    join etl.step s on s.pipeline = b.pipeline
    join pg_class c on c.oid = to_regclass(s.target) and c.relkind = 'p'
    where b.pipeline = p_pipeline and b.published_at is null and b.rows_changed > 0
      and (b.rows_changed < x.copy_from or not exists (select from etl.source_table t where t.pipeline = p_pipeline and stg.is_copy(t.mirror)))) n;
  perform etl.begin_generation(t.target)
  from (
    select distinct to_regclass(s.target) as target
    from etl.step s
    where s.pipeline = p_pipeline and s.target in (select 'dwh.fact_sales' union all select f.fact from etl.fact f where f.key_columns is null)
      and exists (select from etl.batch b where b.pipeline = p_pipeline and b.published_at is null and b.rows_changed > 0)) t
  where t.target is not null;
  perform dwh.defer_place_index(p_pipeline);
exception when others then
  null;
end
$$;

comment on function etl.prepare_partitions(text) is
  'Attaches the partitions of fact tables that the waiting batches of a pipeline will need. For headrace_runner, through etl.run().';
revoke all on function etl.prepare_partitions(text) from public;
grant execute on function etl.prepare_partitions(text) to headrace_runner;
