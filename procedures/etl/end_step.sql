-- Contract: the reports with the last one ended successfully, with the rows it moved (null: none).
create or replace function etl.end_step(p_steps etl.step_report[], p_counts etl.row_counts)
returns etl.step_report[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_last etl.step_report := p_steps[cardinality(p_steps)];
begin
  v_last.status := 'succeeded';
  v_last.finished_at := clock_timestamp();
  v_last.rows_read := coalesce((p_counts).rows_read, 0);
  v_last.rows_inserted := coalesce((p_counts).rows_inserted, 0);
  v_last.rows_updated := coalesce((p_counts).rows_updated, 0);
  v_last.rows_deleted := coalesce((p_counts).rows_deleted, 0);
  v_last.rows_quarantined := coalesce((p_counts).rows_quarantined, 0);
  p_steps[cardinality(p_steps)] := v_last;
  return p_steps;
end
$$;

comment on function etl.end_step(etl.step_report[], etl.row_counts) is
  'The step reports with the last one marked succeeded and its row counts set. Internal.';
revoke all on function etl.end_step(etl.step_report[], etl.row_counts) from public;
