-- requires: dwh.load_sales_by_group, dwh.recount_sales, etl.lower_work_mem
-- Contract: the step that brings dwh.sales_by_day, dwh.sales_by_group and dwh.sales_by_product up to the facts, by what stg.sales_delta
-- says was really inserted, deleted and moved; empties it. After a truncation (T), which a rebuild is as well, it counts anew.
-- Invariant: afterwards all equal a fresh GROUP BY of dwh.fact_sales. Rows that reach no line leave.
create or replace function dwh.load_sales_aggregates(p_batch bigint, p_step etl.step)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_counts etl.row_counts := etl.counts();
  v_work_mem text;
begin
  if exists (select from etl.batch_table t where t.mirror = 'sales' and t.batch_id = p_batch)
     and exists (select from stg.sale(p_batch) s where s.op = 'T') then
    return dwh.recount_sales();
  end if;

  v_work_mem := etl.lower_work_mem(2048);
  perform dwh.load_sales_by_group();
  with delta as (
    select d.captured_on, d.country, d.product_key, sum(d.lines)::bigint as lines, sum(d.units)::bigint as units
    from stg.sales_delta d
    group by 1, 2, 3
  ), emptied as (
    delete from dwh.sales_by_day a using delta d
    where d.lines < 0 and a.captured_on = d.captured_on and a.country = d.country and a.product_key = d.product_key and a.lines + d.lines = 0
    returning 1
  ), changed as (
    update dwh.sales_by_day a set lines = a.lines + d.lines, units = a.units + d.units from delta d
    where a.captured_on = d.captured_on and a.country = d.country and a.product_key = d.product_key
      and a.lines + d.lines <> 0 and (d.lines <> 0 or d.units <> 0)
    returning 1
  ), added as (
    insert into dwh.sales_by_day (captured_on, country, product_key, lines, units)
    select d.captured_on, d.country, d.product_key, d.lines, d.units
    from delta d
    where d.lines <> 0 and not exists (
      select from dwh.sales_by_day a where a.captured_on = d.captured_on and a.country = d.country and a.product_key = d.product_key)
    returning 1
  )
  select (select count(*) from delta), (select count(*) from added), (select count(*) from changed), (select count(*) from emptied), 0::bigint
  into v_counts;

  with delta as (
    select d.product_key, sum(d.lines)::bigint as lines, sum(d.units)::bigint as units
    from stg.sales_delta d
    group by 1
  ), emptied as (
    delete from dwh.sales_by_product a using delta d
    where d.lines < 0 and a.product_key = d.product_key and a.lines + d.lines = 0
  ), changed as (
    update dwh.sales_by_product a set lines = a.lines + d.lines, units = a.units + d.units from delta d
    where a.product_key = d.product_key and a.lines + d.lines <> 0 and (d.lines <> 0 or d.units <> 0)
  )
  insert into dwh.sales_by_product (product_key, lines, units)
  select d.product_key, d.lines, d.units
  from delta d
  where d.lines <> 0 and not exists (select from dwh.sales_by_product a where a.product_key = d.product_key);

  delete from stg.sales_delta;
  perform set_config('work_mem', v_work_mem, true);
  return v_counts;
end
$$;

comment on function dwh.load_sales_aggregates(bigint, etl.step) is
  'Step: brings the aggregates of dwh.fact_sales up to what the publish changed. Internal.';
revoke all on function dwh.load_sales_aggregates(bigint, etl.step) from public;
