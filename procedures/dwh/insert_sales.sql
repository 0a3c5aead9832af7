-- requires: dwh.fill_sales_partition, dwh.infer_members, etl.lower_work_mem
-- Contract: inserts the fit sales of a batch (about p_fit of them) with the versions of customer and product that held when each was captured,
-- returns how many, and notes them in stg.sales_delta. Customers and products that nobody knows become inferred members. The judge has
-- taken unfit rows out of the change set. A replayed or rebuilt row keeps the batch and the date of its first capture (p_origins: the
-- batches that first captured the rows).
-- A month that has no partition yet is filled before it is attached (dwh.fill_sales_partition), save on a cluster of Citus.
-- Rows come in the order of fact_sales_place_idx, each of whose pages is then met once.
-- Invariant: with one origin, which all but replayed and rebuilt batches have, it is a constant to the planner, which then
-- knows that nearly every version of the dimensions holds. With several it would expect next to none and look each up.
create or replace function dwh.insert_sales(p_batch bigint, p_origins bigint[], p_fit bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  c_few constant bigint := 1000000::bigint; -- sales, more than a run after changes has
  v_work_mem text := current_setting('work_mem');
  v_time_zone constant text := (select w.time_zone from etl.warehouse w);
  v_is_one constant boolean := cardinality(p_origins) = 1;
  v_is_cluster constant boolean := exists (select from pg_extension e where e.extname = 'citus');
  v_nested_loops constant text := current_setting('enable_nestloop');
  v_day date;
  v_inserted bigint;
begin
  for v_day in
    select distinct date_trunc('month', b.captured_at at time zone v_time_zone)::date from etl.batch b where b.batch_id = any (p_origins)
  loop
    perform dwh.fill_dim_date(v_day);
    if v_is_one and not v_is_cluster and to_regclass(dwh.partition_name('dwh.fact_sales', v_day)) is null then
      return dwh.fill_sales_partition(p_batch, v_day, p_origins[1], p_fit);
    end if;
    perform dwh.ensure_partition('dwh.fact_sales', v_day);
  end loop;

  perform dwh.infer_members('dwh.dim_customer', 'stg.sale', p_batch);
  perform dwh.infer_members('dwh.dim_product', 'stg.sale', p_batch);
  if not v_is_one then
    perform set_config('enable_nestloop', 'off', true);
  end if;
  if p_fit < c_few then
    v_work_mem := etl.lower_work_mem(4096);
  end if;
  execute format(
    'with inserted as ('
    '   insert into dwh.fact_sales (source, customer_id, product_id, customer_key, product_key, qty, captured_at, captured_on, batch_id)'
    '   select s.source, s.customer_id, s.product_id, c.customer_key, p.product_key, s.qty,'
    '          b.captured_at, (b.captured_at at time zone $2)::date, s.origin'
    '   from stg.sale($1) s'
    '   join etl.batch b on b.batch_id = %1$s'
    '   join dwh.dim_customer c on c.source = s.source and c.customer_id = s.customer_id and c.batch_from <= %1$s and %1$s < c.batch_to'
    '   join dwh.dim_product p on p.source = s.source and p.product_id = s.product_id and p.batch_from <= %1$s and %1$s < p.batch_to'
    '   where s.op in (''I'', ''U'') order by hashint8(s.customer_id)::bigint & 4294967295, s.product_id'
    '   returning captured_on, customer_key, product_key, qty'
    ' ), noted as ('
    '   insert into stg.sales_delta (captured_on, country, product_key, lines, units)'
    '   select i.captured_on, coalesce(c.country, ''(unknown)''), i.product_key, count(*), sum(i.qty)'
    '   from inserted i join dwh.dim_customer c on c.customer_key = i.customer_key group by 1, 2, 3)'
    ' select count(*) from inserted', case when v_is_one then '$3' else 's.origin' end)
    into v_inserted using p_batch, v_time_zone, p_origins[1];
  perform set_config('enable_nestloop', v_nested_loops, true);
  perform set_config('work_mem', v_work_mem, true);
  return v_inserted;
end
$$;

comment on function dwh.insert_sales(bigint, bigint[], bigint) is
  'Inserts the fit sales of batch p_batch, first captured by the batches p_origins, into dwh.fact_sales; returns how many. p_fit: about how many they are. Internal.';
revoke all on function dwh.insert_sales(bigint, bigint[], bigint) from public;
