-- Contract: the step that loads dwh.fact_sales for one batch, after its dimensions, and notes in stg.sales_delta what that
-- changes in the aggregates.
-- Invariant: exactly the fit rows of the batch become facts; a row that finds no version of its customer or product stops
-- the publish, since it would be lost.
create or replace function dwh.load_fact_sales(p_batch bigint, p_step etl.step)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_counts etl.row_counts := etl.counts();
  v_fit bigint;
  v_first bigint;
  v_last bigint;
begin
  perform dwh.move_completed_sales();
  if not exists (select from etl.batch_table t join etl.stage g on g.mirror = t.mirror where g.stage = 'stg.sale' and t.batch_id = p_batch) then
    return v_counts;
  end if;
  -- by EXECUTE, because only so a query in a function is spread over several processes
  execute 'select count(*), count(*) filter (where s.op in (''I'', ''U'')), min(s.origin) filter (where s.op in (''I'', ''U'')), max(s.origin) filter (where s.op in (''I'', ''U'')) from stg.sale($1) s'
    into v_counts.rows_read, v_fit, v_first, v_last using p_batch;
  perform dwh.infer_members('dwh.dim_customer', 'stg.sale', p_batch);
  perform dwh.infer_members('dwh.dim_product', 'stg.sale', p_batch);
  v_counts.rows_deleted := dwh.delete_sales(p_batch);
  v_counts.rows_inserted := dwh.insert_sales(p_batch, case
    when v_first = v_last then array[v_first]
    else array(select distinct s.origin from stg.sale(p_batch) s where s.op in ('I', 'U')) end, v_fit);
  if v_counts.rows_inserted <> v_fit then
    raise exception using
      errcode = 'data_exception',
      message = format('batch %s has %s fit sales, but %s found a customer and a product', p_batch, v_fit, v_counts.rows_inserted),
      hint = 'Rows of dwh.dim_customer or dwh.dim_product were changed by hand. Mend them: call etl.rebuild(''dwh.dim_customer''); call etl.rebuild(''dwh.dim_product'');';
  end if;
  return v_counts;
end
$$;

comment on function dwh.load_fact_sales(bigint, etl.step) is
  'Step: loads dwh.fact_sales from stg.sale for batch p_batch. Raises 22000 where a sale finds no customer or product version. Internal.';
revoke all on function dwh.load_fact_sales(bigint, etl.step) from public;
