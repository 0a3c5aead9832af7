-- Contract: the capture phase. In the caller's transaction it reads the enabled tables of the pipeline, each by its capture
-- mode and from one snapshot per source, into durable change sets, brings mrr up to them and stores the batch. Alone (run_id
-- null) it opens and closes a run of its own; inside etl.run() the caller commits, or rolls back and logs the returned
-- failure. It begins by moving the slots up to what an earlier capture, committed since, has stored, if nobody did.
-- outcome.more returned true: the source has more (a backlog is worked off in several batches, and a log table
-- that was just copied goes on with its slot); the caller commits and calls again, and then only mode log is read.
-- Invariant: no error leaves it. A failure is rolled back to its start and returned in outcome with the steps so far.
-- The text forms are pinned here, because rows are compared by them.
create or replace procedure mrr.capture(pipeline text, inout run_id bigint default null, inout outcome etl.outcome default null)
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
  v_pipeline constant text := capture.pipeline;
  v_alone constant boolean := run_id is null;
  v_is_committed constant boolean := pg_current_xact_id_if_assigned() is null; -- whatever came before this
  v_goes_on constant boolean := coalesce((outcome).more, false);
  v_attempt constant integer := coalesce((outcome).attempt, 1);
  v_steps etl.step_report[];
  v_source text;
  v_batch bigint;
  v_part record;
  v_log record;
  v_more boolean := false;
  v_error etl.failure;
begin
  if v_alone then
    run_id := etl.open_run(v_pipeline, 'capture', false, false, false);
    if run_id is null then
      return;
    end if;
  end if;
  begin
    if v_alone then
      perform etl.disconnect_source();
    end if;
    if v_is_committed and (v_alone or not v_goes_on) and exists (select from etl.slot s where s.pipeline = v_pipeline and s.slot_name = etl.slot_name(v_pipeline)) then
      perform etl.acknowledge(v_pipeline, run_id); -- not the slots of a warehouse that this one is a copy of
    end if;
    if not exists (select from etl.source_table t where t.pipeline = v_pipeline and t.enabled) then
      raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = format('pipeline %s has no enabled table, so there is nothing to capture', v_pipeline),
        hint = format('Register one: call etl.add_table(''op'', ''public.orders'', pipeline => %L);', v_pipeline);
    end if;
    perform etl.await_workers();
    perform mrr.settle_copies(v_pipeline);
    insert into etl.batch (pipeline, run_id, captured_at) values (v_pipeline, capture.run_id, clock_timestamp()) returning batch_id into v_batch;
    for v_source in
      select t.source from etl.source_table t where t.pipeline = v_pipeline and t.enabled
      group by 1 having not v_goes_on or bool_or(t.capture = 'log') order by 1
    loop
      v_steps := v_steps || etl.begin_step('capture', 'connect ' || v_source, v_batch, v_attempt);
      perform mrr.open_source(v_pipeline, v_source, v_batch, run_id);
      v_steps := etl.end_step(v_steps, null);
    end loop;
    for v_part in select p.* from mrr.parts(v_pipeline, v_goes_on) p loop
      v_steps := v_steps || etl.begin_step('capture', coalesce((v_part.source_table).mirror, 'read slot'), v_batch, v_attempt);
      if v_part.source_table is null then
        select c.* into v_log from mrr.capture_log(v_pipeline, v_part.source, v_batch, run_id, v_steps) c;
        v_steps := v_log.p_steps;
        v_more := v_more or v_log.is_more;
      else
        v_steps := etl.end_step(v_steps, mrr.capture_table(v_part.source_table, v_batch, run_id));
        v_more := v_more or (v_part.source_table).capture = 'log';
      end if;
    end loop;
    perform case when v_alone then etl.disconnect_source() else etl.close_snapshots() end;
    perform etl.leave_sources(v_pipeline);
    update etl.batch b
    set captured_at = coalesce((select max(s.captured_at) from etl.batch_source s where s.batch_id = v_batch), b.captured_at),
        rows_changed = greatest(b.rows_changed,
          (select sum(t.rows_inserted + t.rows_updated + t.rows_deleted) from etl.batch_table t where t.batch_id = v_batch))
    where b.batch_id = v_batch;
  exception when query_canceled or others then
    get stacked diagnostics
      v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
      v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
    v_error.routine := 'mrr.capture';
    v_error.step := coalesce(v_steps[cardinality(v_steps)].step, 'capture');
    v_steps := etl.fail_steps(v_steps, v_error.sqlstate);
    v_more := false;
    perform etl.disconnect_source();
    v_error := etl.leave_sources(v_pipeline, v_error);
  end;
  outcome.failure := v_error;
  outcome.steps := (outcome).steps || v_steps;
  outcome.more := v_more;
  if v_alone then
    perform etl.close_run(run_id, outcome);
  end if;
end
$$;

comment on procedure mrr.capture(text, bigint, etl.outcome) is
  'Capture phase of one pipeline, in the caller''s transaction. run_id: leave out; set by etl.run(). outcome: leave out; returns steps, failure and whether the source has more. Called alone it logs as a run of its own; a failure is returned and logged, not raised. For headrace_runner.';
revoke all on procedure mrr.capture(text, bigint, etl.outcome) from public;
grant execute on procedure mrr.capture(text, bigint, etl.outcome) to headrace_runner;
