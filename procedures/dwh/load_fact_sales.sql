-- requires: dwh.count_sales, dwh.insert_sales
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
  v_origins bigint[];
begin
  perform dwh.move_completed_sales();
  if not exists (select from etl.batch_table t join etl.stage g on g.mirror = t.mirror where g.stage = 'stg.sale' and t.batch_id = p_batch) then
    return v_counts;
  end if;
  select c.rows_read, c.rows_fit, c.origins into v_counts.rows_read, v_fit, v_origins from dwh.count_sales(p_batch, true) c;
  v_counts.rows_deleted := dwh.delete_sales(p_batch);
  v_counts.rows_inserted := dwh.insert_sales(p_batch, v_origins, v_fit);
  if v_counts.rows_inserted <> v_fit then
    select c.rows_read, c.rows_fit into v_counts.rows_read, v_fit from dwh.count_sales(p_batch, false) c;
  end if;
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
