-- requires: dwh.complete_sales_partition, dwh.note_partition
-- Contract: makes the partition of dwh.fact_sales for the month of p_day, which must be missing, of the fit sales of a batch (about p_fit of them), all
-- first captured by batch p_origin, attaches it, and notes them in stg.sales_delta; returns how many there are. Rows are
-- those of dwh.insert_sales(). Customers and products that nobody knows become inferred members when their sales are written. If some are
-- still not found, nothing is attached, and their sales are not in the number returned.
-- A first load is the largest of all, so each part is one that several processes share: CREATE TABLE AS, which for that
-- numbers the sales by itself, the index, which attaching makes in one go, and the counting.
create or replace function dwh.fill_sales_partition(p_batch bigint, p_day date, p_origin bigint, p_fit bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set parallel_tuple_cost = 0
as $$
declare
  v_partition constant text := dwh.partition_name('dwh.fact_sales', p_day);
  v_keys constant regclass := pg_get_serial_sequence('dwh.fact_sales', 'sale_key')::regclass;
  v_before constant bigint := nextval(v_keys);
  v_captured_at constant timestamptz := (select b.captured_at from etl.batch b where b.batch_id = p_origin);
  v_time_zone constant text := (select w.time_zone from etl.warehouse w);
  v_inserted bigint;
  v_incomplete bigint;
begin
  perform setval(v_keys, v_before + p_fit);
  execute format(
    'create table dwh.%I as'
    ' select row_number() over () + $1 as sale_key, s.source, s.customer_id, s.product_id, c.customer_key, p.product_key, s.qty,'
    '        $2 as captured_at, $3 as captured_on, $4 as batch_id'
    ' from stg.sale($5) s'
    ' left join dwh.dim_customer c on c.source = s.source and c.customer_id = s.customer_id and c.batch_from <= $4 and $4 < c.batch_to'
    ' left join dwh.dim_product p on p.source = s.source and p.product_id = s.product_id and p.batch_from <= $4 and $4 < p.batch_to'
    ' where s.op in (''I'', ''U'')', (parse_ident(v_partition))[2])
    using v_before, v_captured_at, (v_captured_at at time zone v_time_zone)::date, p_origin, p_batch;
  get diagnostics v_inserted = row_count;
  if v_inserted > p_fit then
    perform setval(v_keys, v_before + v_inserted);
  end if;
  v_incomplete := dwh.complete_sales_partition(v_partition, p_batch, p_origin);
  if v_incomplete > 0 then
    return v_inserted - v_incomplete;
  end if;
  perform dwh.attach_partition('dwh.fact_sales', v_partition, p_day);
  perform etl.analyze_table(v_partition::regclass);
  perform dwh.note_partition(v_partition::regclass);
  return v_inserted;
end
$$;

comment on function dwh.fill_sales_partition(bigint, date, bigint, bigint) is
  'Makes and attaches the missing partition of dwh.fact_sales for the month of p_day of the about p_fit fit sales of batch p_batch, first captured by p_origin; returns how many have found a customer and a product. Internal.';
revoke all on function dwh.fill_sales_partition(bigint, date, bigint, bigint) from public;
