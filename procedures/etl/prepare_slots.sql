-- Contract: makes or mends the slots of a pipeline in a transaction of its own, before anything is written in it: making a
-- slot waits for every transaction that writes in the source's cluster, and where the warehouse lives in the same cluster
-- the capture itself would be one. A table that has left its publication is marked for comparison here, where it is committed,
-- because its changes are missing from then on; the capture then refuses it. Asks the source only if the pipeline has log tables.
-- Its connection stays open for the capture.
-- Invariant: no error leaves it; a failure is returned in the outcome, as by the phases, and whether to try again is up to the
-- caller. A step is reported where one failed, and in further attempts.
create or replace function etl.prepare_slots(p_pipeline text, p_run_id bigint, p_outcome etl.outcome)
returns etl.outcome
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_steps etl.step_report[];
  v_source text;
  v_error etl.failure;
begin
  begin
    for v_source in
      select distinct t.source from etl.source_table t
      where t.pipeline = p_pipeline and t.capture = 'log' and t.enabled order by 1
    loop
      v_steps := array[etl.begin_step('capture', 'slot at ' || v_source, null, coalesce((p_outcome).attempt, 1))];
      perform etl.take_connection(v_source);
      if etl.publish_tables(p_pipeline, v_source) then
        perform etl.ensure_slot(p_pipeline, v_source, p_run_id);
      end if;
      if (p_outcome).attempt > 1 then
        p_outcome.steps := (p_outcome).steps || etl.end_step(v_steps, null);
      end if;
    end loop;
    return p_outcome;
  exception when query_canceled or others then
    get stacked diagnostics
      v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
      v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
    v_error.routine := 'etl.prepare_slots';
    v_error.step := v_steps[1].step;
    v_steps := etl.fail_steps(v_steps, v_error.sqlstate);
    perform etl.disconnect_source();
    p_outcome.failure := v_error;
    p_outcome.steps := (p_outcome).steps || v_steps;
    return p_outcome;
  end;
end
$$;

comment on function etl.prepare_slots(text, bigint, etl.outcome) is
  'Makes or mends the slots of a pipeline before its capture; returns p_outcome with the failure, if any, and its step. For headrace_runner, through etl.run().';
revoke all on function etl.prepare_slots(text, bigint, etl.outcome) from public;
grant execute on function etl.prepare_slots(text, bigint, etl.outcome) to headrace_runner;
