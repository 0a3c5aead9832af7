-- Contract: captures one table into batch p_batch: refuses a source table whose columns are no longer those registered,
-- writes the change set by the table's capture mode, and brings the mirror up to it.
create or replace function mrr.capture_table(p_table etl.source_table, p_batch bigint, p_run_id bigint)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_read bigint;
  v_counts etl.row_counts;
begin
  perform etl.check_columns(p_table);
  v_read := mrr.capture_full(p_table, p_batch, p_run_id);
  if v_read >= 1000 then
    execute format('analyze stg.%I', (p_table).mirror || '_changes');
  end if;
  v_counts := mrr.apply_changes(p_table, p_batch);
  v_counts.rows_read := v_read;
  if v_counts.rows_inserted + v_counts.rows_updated + v_counts.rows_deleted > 0 then
    insert into etl.batch_table (batch_id, mirror, rows_read, rows_inserted, rows_updated, rows_deleted)
    values (p_batch, (p_table).mirror, v_read, v_counts.rows_inserted, v_counts.rows_updated, v_counts.rows_deleted);
  end if;
  if (p_table).copied_at is null then
    update etl.source_table t set copied_at = clock_timestamp() where t.source_table_id = (p_table).source_table_id;
  end if;
  return v_counts;
end
$$;

comment on function mrr.capture_table(etl.source_table, bigint, bigint) is
  'Captures one table into batch p_batch and returns what it read and changed. Raises 55000 where the source table''s columns have changed. Internal.';
revoke all on function mrr.capture_table(etl.source_table, bigint, bigint) from public;
