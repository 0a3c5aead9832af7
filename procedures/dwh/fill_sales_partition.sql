-- Contract: fills a partition of dwh.fact_sales that is not attached yet (dwh.make_partition) with the fit sales of a batch, all
-- of them first captured by batch p_origin, attaches it, and notes them in stg.sales_delta; returns how many. Rows are those
-- of dwh.insert_sales(). Without an index, which the attaching makes in one go, and with the counting apart, so that
-- several processes share it: a first load is the largest of all. Their hash tables have groups of days, countries and
-- products, some hundred thousand, which should not spill.
create or replace function dwh.fill_sales_partition(p_batch bigint, p_partition text, p_day date, p_origin bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set hash_mem_multiplier = 4
as $$
declare
  v_captured_at constant timestamptz := (select b.captured_at from etl.batch b where b.batch_id = p_origin);
  v_time_zone constant text := (select w.time_zone from etl.warehouse w);
  v_inserted bigint;
begin
  execute format(
    'insert into %s (sale_key, source, customer_id, product_id, customer_key, product_key, qty, captured_at, captured_on, batch_id)'
    ' select nextval(%L), s.source, s.customer_id, s.product_id, c.customer_key, p.product_key, s.qty, $3, $4, $2'
    ' from stg.sale($1) s'
    ' join dwh.dim_customer c on c.source = s.source and c.customer_id = s.customer_id and c.batch_from <= $2 and $2 < c.batch_to'
    ' join dwh.dim_product p on p.source = s.source and p.product_id = s.product_id and p.batch_from <= $2 and $2 < p.batch_to'
    ' where s.op in (''I'', ''U'')',
    p_partition::regclass, pg_get_serial_sequence('dwh.fact_sales', 'sale_key'))
    using p_batch, p_origin, v_captured_at, (v_captured_at at time zone v_time_zone)::date;
  get diagnostics v_inserted = row_count;
  perform dwh.attach_partition('dwh.fact_sales', p_partition, p_day);

  execute format(
    'create temporary table headrace_delta on commit drop as'
    ' select f.captured_on, coalesce(c.country, ''(unknown)'') as country, f.product_key, count(*) as lines, sum(f.qty)::bigint as units'
    ' from %s f join dwh.dim_customer c on c.customer_key = f.customer_key group by 1, 2, 3', p_partition::regclass);
  insert into stg.sales_delta (captured_on, country, product_key, lines, units)
  select d.captured_on, d.country, d.product_key, d.lines, d.units from pg_temp.headrace_delta d;
  drop table pg_temp.headrace_delta;
  return v_inserted;
end
$$;

comment on function dwh.fill_sales_partition(bigint, text, date, bigint) is
  'Fills and attaches a new partition of dwh.fact_sales with the fit sales of batch p_batch, first captured by p_origin; returns how many. Internal.';
revoke all on function dwh.fill_sales_partition(bigint, text, date, bigint) from public;
