-- Contract: makes or mends the slots of a pipeline in a transaction of its own, before anything is written in it: making a
-- slot waits for every transaction that writes in the source's cluster, and where the warehouse lives in the same cluster
-- the capture itself would be one. A table that has left its publication is marked for comparison here, where it is committed,
-- because its changes are missing from then on; the capture then refuses it. Asks the source only if the pipeline has log tables.
-- Invariant: no error leaves it; a failure is returned in outcome, as by the phases.
create or replace procedure etl.prepare_slots(pipeline text, run_id bigint, inout outcome etl.outcome)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_steps etl.step_report[];
  v_source text;
  v_error etl.failure;
begin
  begin
    for v_source in
      select distinct t.source from etl.source_table t
      where t.pipeline = prepare_slots.pipeline and t.capture = 'log' and t.enabled order by 1
    loop
      v_steps := array[etl.begin_step('capture', 'slot at ' || v_source, null)];
      perform etl.connect_source(v_source);
      perform etl.ensure_slot(prepare_slots.pipeline, v_source, prepare_slots.run_id);
      update etl.source_table t set needs_resync = true
      where t.copied_at is not null and t.source_table_id in (select u.source_table_id from etl.unpublished_tables(prepare_slots.pipeline, v_source) u);
      perform etl.disconnect_source(v_source);
    end loop;
  exception when query_canceled or others then
    get stacked diagnostics
      v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
      v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
    v_error.routine := 'etl.prepare_slots';
    v_error.step := v_steps[1].step;
    v_steps := etl.fail_steps(v_steps, v_error.sqlstate);
    perform etl.disconnect_source();
    outcome.failure := v_error;
    outcome.steps := (outcome).steps || v_steps;
  end;
end
$$;

comment on procedure etl.prepare_slots(text, bigint, etl.outcome) is
  'Makes or mends the slots of a pipeline before its capture; a failure is returned in outcome. For headrace_runner, through etl.run().';
revoke all on procedure etl.prepare_slots(text, bigint, etl.outcome) from public;
grant execute on procedure etl.prepare_slots(text, bigint, etl.outcome) to headrace_runner;
