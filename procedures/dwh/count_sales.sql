-- requires: dwh.partition_name, stg.is_copy
-- Contract: how many rows stg.sale has for a batch, how many of them are fit sales, and the batches that first captured these. A first copy,
-- which is its own change set and captured by its own batch, was counted then: with p_is_quick that is taken, if its month has no
-- partition yet, which tells what it lacks by itself (dwh.fill_sales_partition). It is right as long as the stage function makes one sale of each row.
create or replace function dwh.count_sales(p_batch bigint, p_is_quick boolean)
returns table (rows_read bigint, rows_fit bigint, origins bigint[])
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first bigint;
  v_last bigint;
begin
  if p_is_quick and stg.is_copy('sales') then
    select t.rows_inserted - (select count(*) from stg.left_out x where x.mirror = 'sales') into rows_fit
    from etl.batch_table t
    join etl.batch b on b.batch_id = t.batch_id
    cross join etl.warehouse w
    where t.batch_id = p_batch and t.mirror = 'sales'
      and to_regclass(dwh.partition_name('dwh.fact_sales', (b.captured_at at time zone w.time_zone)::date)) is null;
  end if;
  if rows_fit is not null then
    rows_read := rows_fit + (select count(*) from stg.sale(p_batch) s where s.op = 'T');
    origins := array[p_batch];
  else
    -- by EXECUTE, because only so a query in a function is spread over several processes
    execute 'select count(*), count(*) filter (where s.op in (''I'', ''U'')), min(s.origin) filter (where s.op in (''I'', ''U'')), max(s.origin) filter (where s.op in (''I'', ''U'')) from stg.sale($1) s'
      into rows_read, rows_fit, v_first, v_last using p_batch;
    origins := case when v_first = v_last then array[v_first]
                    else array(select distinct s.origin from stg.sale(p_batch) s where s.op in ('I', 'U')) end;
  end if;
  return next;
end
$$;

comment on function dwh.count_sales(bigint, boolean) is
  'Rows of stg.sale in batch p_batch, the fit ones among them, and the batches that captured these. p_is_quick: of a first copy what its capture counted. Internal.';
revoke all on function dwh.count_sales(bigint, boolean) from public;
