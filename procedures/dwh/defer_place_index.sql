-- Contract: before a first load drops the index by which equal sales are found: nothing of this load needs it, and readers have
-- the facts that much earlier. It is made in one go after the publish (dwh.make_place_index); until then dwh.sales_of_customer()
-- reads all facts. The index stays where there are facts, or other pipelines that write some, where more waits than the first copy of sales, which
-- might delete, on a cluster of Citus, and while anybody reads dwh.fact_sales.
create or replace function dwh.defer_place_index(p_pipeline text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regclass('dwh.fact_sales_place_idx') is null
     or exists (select from pg_extension e where e.extname = 'citus')
     or exists (select from etl.step s where s.pipeline <> p_pipeline and s.target = 'dwh.fact_sales')
     or not exists (
       select from etl.step s join etl.stage g on g.stage = any (s.stages)
       where s.pipeline = p_pipeline and s.target = 'dwh.fact_sales' and stg.is_copy(g.mirror))
     or not exists (
       select from etl.batch b where b.pipeline = p_pipeline and b.published_at is null and b.rows_changed > 0
       having count(*) = 1 and min(b.rows_changed) >= (select x.copy_from from etl.settings x))
     or exists (select 1 from dwh.fact_sales) then
    return;
  end if;
  lock table dwh.fact_sales in access exclusive mode nowait;
  if not exists (select 1 from dwh.fact_sales) then
    drop index dwh.fact_sales_place_idx;
  end if;
exception when others then -- above all 55P03: somebody reads
  null;
end
$$;

comment on function dwh.defer_place_index(text) is
  'Drops the index by which equal sales are found, before the first load of a pipeline; it is made after the publish. Internal.';
revoke all on function dwh.defer_place_index(text) from public;
