-- requires: dwh.complete_sales_partition, dwh.note_partition
-- Contract: makes the partition of dwh.fact_sales for the month of p_day, which must be missing, of the fit sales of a batch (about p_fit of them), all
-- first captured by batch p_origin, attaches it, and notes them in stg.sales_delta; returns how many there are. Rows are
-- those of dwh.insert_sales(). Customers and products that nobody knows become inferred members when their sales are written. A sale
-- that finds none all the same stops the publish: it would be lost.
-- A first load is the largest of all, so each part is one that several processes share: CREATE TABLE AS, which for that
-- numbers the sales by itself, the index, which attaching makes in one go, and the counting. Sales of a first copy have numbers already, those of the
-- mirror's rows; others are counted by the process that writes, which costs it a third of its time. Where there are more than p_fit, so that too few
-- numbers were taken, where a row of the copy became several sales, which the primary key tells, or where the members of many were unknown, the
-- table is made once more.
create or replace function dwh.fill_sales_partition(p_batch bigint, p_day date, p_origin bigint, p_fit bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set parallel_tuple_cost = 0
as $$
declare
  v_partition constant text := dwh.partition_name('dwh.fact_sales', p_day);
  v_keys constant regclass := pg_get_serial_sequence('dwh.fact_sales', 'sale_key')::regclass;
  v_captured_at constant timestamptz := (select b.captured_at from etl.batch b where b.batch_id = p_origin);
  v_time_zone constant text := (select w.time_zone from etl.warehouse w);
  v_before bigint;
  v_inserted bigint := p_fit;
  v_expected bigint;
  v_is_numbered boolean := stg.is_copy('sales');
  v_incomplete bigint;
begin
  for v_attempt in 1..3 loop
    v_expected := v_inserted;
    v_is_numbered := v_is_numbered and v_expected <= p_fit;
    v_before := nextval(v_keys);
    perform setval(v_keys, v_before + case when v_is_numbered then pg_sequence_last_value(etl.number_sequence('mrr.sales')) else v_expected end);
    execute format(
      'create table dwh.%I as'
      ' select %s + $1 as sale_key, s.source, s.customer_id, s.product_id, c.customer_key, p.product_key, s.qty,'
      '        $2 as captured_at, $3 as captured_on, $4 as batch_id'
      ' from stg.sale($5) s'
      ' left join dwh.dim_customer c on c.source = s.source and c.customer_id = s.customer_id and c.batch_from <= $4 and $4 < c.batch_to'
      ' left join dwh.dim_product p on p.source = s.source and p.product_id = s.product_id and p.batch_from <= $4 and $4 < p.batch_to'
      ' where s.op in (''I'', ''U'')', (parse_ident(v_partition))[2],
      case when v_is_numbered then 's.change_seq' else 'row_number() over ()' end)
      using v_before, v_captured_at, (v_captured_at at time zone v_time_zone)::date, p_origin, p_batch;
    get diagnostics v_inserted = row_count;
    v_incomplete := dwh.complete_sales_partition(v_partition, p_batch, p_origin, v_inserted / 10);
    if v_incomplete = 0 and v_inserted <= v_expected then
      begin
        perform dwh.attach_partition('dwh.fact_sales', v_partition, p_day);
        exit;
      exception when unique_violation then
        if not v_is_numbered then
          raise;
        end if;
        v_is_numbered := false;
      end;
    end if;
    execute format('drop table %s', v_partition::regclass);
  end loop;
  if v_incomplete > 0 then
    raise exception using
      errcode = 'data_exception',
      message = format('batch %s has %s fit sales, but %s found a customer and a product', p_batch, v_inserted, v_inserted - v_incomplete),
      hint = 'Rows of dwh.dim_customer or dwh.dim_product were changed by hand. Mend them: call etl.rebuild(''dwh.dim_customer''); call etl.rebuild(''dwh.dim_product'');';
  end if;
  perform etl.analyze_table(v_partition::regclass);
  perform dwh.note_partition(v_partition::regclass);
  return v_inserted;
end
$$;

comment on function dwh.fill_sales_partition(bigint, date, bigint, bigint) is
  'Makes and attaches the missing partition of dwh.fact_sales for the month of p_day of the fit sales of batch p_batch, first captured by p_origin; returns how many. p_fit: about how many they are. Raises 22000 where a sale finds no customer or product version. Internal.';
revoke all on function dwh.fill_sales_partition(bigint, date, bigint, bigint) from public;
