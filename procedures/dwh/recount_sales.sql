-- Contract: makes dwh.sales_by_day, dwh.sales_by_group and dwh.sales_by_product anew from dwh.fact_sales and empties stg.sales_delta.
create or replace function dwh.recount_sales()
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_counts etl.row_counts := etl.counts();
begin
  with gone as (delete from dwh.sales_by_day returning 1)
  select count(*) into v_counts.rows_deleted from gone;
  delete from dwh.sales_by_group;
  delete from dwh.sales_by_product;
  with counted as (
    insert into dwh.sales_by_day (captured_on, country, product_key, lines, units)
    select f.captured_on, coalesce(c.country, '(unknown)'), f.product_key, count(*), sum(f.qty)
    from dwh.fact_sales f
    join dwh.dim_customer c on c.customer_key = f.customer_key
    group by 1, 2, 3
    returning lines
  )
  select count(*), coalesce(sum(c.lines), 0)::bigint into v_counts.rows_inserted, v_counts.rows_read from counted c;
  insert into dwh.sales_by_product (product_key, lines, units)
  select d.product_key, sum(d.lines), sum(d.units) from dwh.sales_by_day d group by 1;
  insert into dwh.sales_by_group (product_group, captured_on, country, lines, units)
  select coalesce(p.product_group, '(unknown)'), d.captured_on, d.country, sum(d.lines), sum(d.units)
  from dwh.sales_by_day d
  join dwh.dim_product p on p.product_key = d.product_key
  group by 1, 2, 3;
  delete from stg.completed_member m where m.dimension = 'dwh.dim_product';
  delete from stg.sales_delta;
  return v_counts;
end
$$;

comment on function dwh.recount_sales() is 'Makes the aggregates of dwh.fact_sales anew. Internal.';
revoke all on function dwh.recount_sales() from public;
