-- Contract: inserts the fit sales of a batch with the versions of customer and product that held when each was captured,
-- returns how many, and notes them in stg.sales_delta. The judge has taken unfit rows out of the change set. A replayed or rebuilt row keeps the batch and the date of its first
-- capture (origin).
create or replace function dwh.insert_sales(p_batch bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_time_zone constant text := (select w.time_zone from etl.warehouse w);
  v_inserted bigint;
begin
  perform dwh.ensure_partition('dwh.fact_sales', d.day), dwh.fill_dim_date(d.day)
  from (
    select distinct (b.captured_at at time zone v_time_zone)::date as day
    from (select distinct s.origin from stg.sale(p_batch) s where s.op in ('I', 'U')) s
    join etl.batch b on b.batch_id = s.origin
  ) d;

  with inserted as (
    insert into dwh.fact_sales (source, customer_id, product_id, customer_key, product_key, qty, captured_at, captured_on, batch_id)
    select s.source, s.customer_id, s.product_id, c.customer_key, p.product_key, s.qty,
           b.captured_at, (b.captured_at at time zone v_time_zone)::date, s.origin
    from stg.sale(p_batch) s
    join etl.batch b on b.batch_id = s.origin
    join dwh.dim_customer c
      on c.source = s.source and c.customer_id = s.customer_id and c.batch_from <= s.origin and s.origin < c.batch_to
    join dwh.dim_product p
      on p.source = s.source and p.product_id = s.product_id and p.batch_from <= s.origin and s.origin < p.batch_to
    where s.op in ('I', 'U')
    returning captured_on, customer_key, product_key, qty
  ), counted as (
    select i.captured_on, i.customer_key, i.product_key, count(*) as lines, sum(i.qty) as units
    from inserted i
    group by 1, 2, 3
  ), noted as (
    insert into stg.sales_delta (captured_on, country, product_key, lines, units)
    select i.captured_on, coalesce(c.country, '(unknown)'), i.product_key, sum(i.lines), sum(i.units)
    from counted i
    join dwh.dim_customer c on c.customer_key = i.customer_key
    group by 1, 2, 3
  )
  select coalesce(sum(i.lines), 0)::bigint into v_inserted from counted i;
  return v_inserted;
end
$$;

comment on function dwh.insert_sales(bigint) is
  'Inserts the fit sales of batch p_batch into dwh.fact_sales; returns how many. Internal.';
revoke all on function dwh.insert_sales(bigint) from public;
