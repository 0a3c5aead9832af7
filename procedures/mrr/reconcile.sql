-- Contract: compares one mirror with its source and records the result, in the caller's transaction; returns in p_different
-- how many rows differ. No error leaves it; a failure is returned in outcome, as by the phases.
-- The changes that the slot still holds and the source's snapshot saw are applied to the mirror in a block that is always
-- rolled back, so the comparison is exact and changes nothing.
create or replace procedure mrr.reconcile(p_source_table_id integer, p_run_id bigint, inout outcome etl.outcome, inout p_different bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = iso
set intervalstyle = postgres
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = hex
set xmlbinary = base64
as $$
declare
  v_table etl.source_table;
  v_steps etl.step_report[];
  v_result etl.reconciliation;
  v_differences etl.difference[];
  v_id bigint;
  v_error etl.failure;
begin
  select t.* into strict v_table from etl.source_table t where t.source_table_id = p_source_table_id;
  v_steps := array[etl.begin_step('reconcile', v_table.mirror, null)];
  begin
    perform etl.show_progress(p_run_id, 'c', p_source_table_id, 0, 0, clock_timestamp());
    perform etl.await_workers();
    perform etl.connect_source(v_table.source);
    perform mrr.apply_seen_changes(v_table, p_run_id);
    select c.* into v_result from mrr.compare_buckets(v_table) c;
    v_differences := array(select d from mrr.list_differences(100) d);
    raise exception using errcode = 'HR000', message = 'compared; what was applied for it is rolled back';
  exception
    when sqlstate 'HR000' then
      null;
    when query_canceled or others then
      get stacked diagnostics
        v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
        v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
      v_error.routine := 'mrr.reconcile';
      v_error.step := v_table.mirror;
  end;
  perform etl.disconnect_source();
  v_error := etl.leave_sources(v_table.pipeline, v_error);
  if v_error.sqlstate is not null then
    outcome.failure := v_error;
    outcome.steps := etl.fail_steps(v_steps, v_error.sqlstate);
    return;
  end if;
  insert into etl.reconciliation (run_id, mirror, rows_source, rows_mirror, buckets_different, rows_different)
  values (p_run_id, v_table.mirror, v_result.rows_source, v_result.rows_mirror, v_result.buckets_different, v_result.rows_different)
  returning reconciliation_id into v_id;
  insert into etl.difference (reconciliation_id, number, bucket, row_image, copies_source, copies_mirror)
  select v_id, d.number, d.bucket, d.row_image, d.copies_source, d.copies_mirror from unnest(v_differences) d;
  p_different := v_result.rows_different;
  outcome.steps := etl.end_step(v_steps, etl.counts(p_read => v_result.rows_source));
end
$$;

comment on procedure mrr.reconcile(integer, bigint, etl.outcome, bigint) is
  'Compares one mirror with its source and records the result; p_different returns the rows that differ. For headrace_runner, through etl.reconcile().';
revoke all on procedure mrr.reconcile(integer, bigint, etl.outcome, bigint) from public;
grant execute on procedure mrr.reconcile(integer, bigint, etl.outcome, bigint) to headrace_runner;
