-- Contract: the publish phase. In the caller's transaction it takes the waiting batches of the pipeline in order, runs the
-- pipeline's steps on each, deletes their change sets and marks them published. It stops after
-- etl.settings.publish_changes changes, always with a whole batch, and returns outcome.more if batches still wait. Then
-- the checks judge the result (write, audit, publish): one of severity error that finds a row rolls everything back. Alone (run_id null) it opens and
-- closes a run of its own; inside etl.run() the caller commits, or rolls back and logs the returned failure.
-- Invariant: no error leaves it. A failure is rolled back to its start, so readers of dwh never see half a batch. The text
-- forms are pinned as in mrr.capture, because quarantined rows are found again by theirs.
create or replace procedure dwh.publish(pipeline text, inout run_id bigint default null, inout outcome etl.outcome default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = iso
set intervalstyle = postgres
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = hex
set xmlbinary = base64
set xmloption = content
as $$
#variable_conflict use_column
declare
  v_pipeline constant text := publish.pipeline;
  v_alone constant boolean := run_id is null;
  v_steps etl.step_report[];
  v_batch etl.batch;
  v_first bigint;
  v_checks etl.check_report[];
  v_limit constant bigint := (select s.publish_changes from etl.settings s);
  v_changes bigint := 0::bigint;
  v_more boolean := false;
  v_error etl.failure;
begin
  if v_alone then
    run_id := etl.open_run(v_pipeline, 'publish', false, false, false);
    if run_id is null then
      return;
    end if;
  end if;
  begin
    perform etl.await_workers();
    for v_batch in select b.* from etl.batch b where b.pipeline = v_pipeline and b.published_at is null order by b.batch_id loop
      v_first := coalesce(v_first, v_batch.batch_id);
      if v_batch.rows_changed > 0 then
        declare
          v_step etl.step;
          v_counts etl.row_counts;
          v_number integer := 0;
          v_count constant integer := (select count(*)::integer from etl.ordered_steps(v_pipeline));
        begin
          for v_step in select s.* from etl.ordered_steps(v_pipeline) s loop
            v_number := v_number + 1;
            continue when not etl.step_is_concerned(v_step, v_batch.batch_id);
            perform etl.show_progress(run_id, 'p', v_step.step_id, v_number - 1, v_count, clock_timestamp());
            v_steps := v_steps || etl.begin_step('publish', v_step.step, v_batch.batch_id, coalesce((outcome).attempt, 1));
            execute format('select r.* from %s($1, $2) r', v_step.routine::regproc)
              into v_counts.rows_read, v_counts.rows_inserted, v_counts.rows_updated, v_counts.rows_deleted, v_counts.rows_quarantined
              using v_batch.batch_id, v_step;
            v_steps := etl.end_step(v_steps, v_counts);
          end loop;
        end;
        perform stg.delete_changes(v_batch.batch_id);
      end if;
      update etl.batch b set published_at = clock_timestamp(), published_run_id = publish.run_id where b.batch_id = v_batch.batch_id;
      v_changes := v_changes + v_batch.rows_changed;
      exit when v_changes >= v_limit;
    end loop;
    v_more := v_changes >= v_limit and exists (select from etl.batch b where b.pipeline = v_pipeline and b.published_at is null);
    delete from stg.completed_member;
    if v_changes > 0 then
      v_steps := v_steps || etl.begin_step('publish', 'checks', v_batch.batch_id, coalesce((outcome).attempt, 1));
      v_checks := etl.run_checks(v_pipeline);
      perform etl.refuse_failed(v_checks);
      v_steps := etl.end_step(v_steps, null);
    end if;
  exception when query_canceled or others then
    get stacked diagnostics
      v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
      v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
    v_error.routine := 'dwh.publish';
    v_error.step := coalesce(v_steps[cardinality(v_steps)].step, 'publish');
    v_steps := etl.fail_steps(v_steps, v_error.sqlstate);
    v_more := false;
  end;
  outcome.failure := v_error;
  outcome.steps := (outcome).steps || v_steps;
  outcome.first_batch := coalesce((outcome).first_batch, v_first);
  outcome.last_batch := coalesce(v_batch.batch_id, (outcome).last_batch);
  outcome.more := v_more;
  outcome.checks := (outcome).checks || v_checks;
  if v_alone then
    perform etl.close_run(run_id, outcome);
  end if;
end
$$;

comment on procedure dwh.publish(text, bigint, etl.outcome) is
  'Publish phase of one pipeline, in the caller''s transaction: all waiting batches, in order. run_id: leave out; set by etl.run(). outcome: leave out; returns steps and failure. Called alone it logs as a run of its own; a failure is returned and logged, not raised. For headrace_runner.';
revoke all on procedure dwh.publish(text, bigint, etl.outcome) from public;
grant execute on procedure dwh.publish(text, bigint, etl.outcome) to headrace_runner;
