-- Contract: makes or mends the slots of a pipeline in a transaction of its own, before anything is written in it: making a
-- slot waits for every transaction that writes in the source's cluster, and where the warehouse lives in the same cluster
-- the capture itself would be one. A table that has left its publication is marked for comparison here, where it is committed,
-- because its changes are missing from then on; the capture then refuses it. Asks the source only if the pipeline has log tables.
-- Its connection stays open for the capture.
-- Where the pipeline is settled, it looks first whether there is anything to do. If there is not, outcome.more is returned false,
-- and the run is at its end; else null. A dry run, which commits nothing, always goes on.
-- Invariant: no error leaves it; a failure is returned in the outcome, as by the phases, and whether to try again is up to the
-- caller. A step is reported where one failed, in further attempts, and for a source that has nothing.
create or replace function etl.prepare_slots(p_pipeline text, p_run_id bigint, p_outcome etl.outcome)
returns etl.outcome
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_most constant bigint := 4194304::bigint; -- bytes of WAL: decoding them twice costs less than an empty batch
  v_is_settled boolean;
  v_steps etl.step_report[];
  v_source text;
  v_has_changes boolean;
  v_is_idle boolean;
  v_error etl.failure;
begin
  begin
    v_is_settled := etl.is_settled(p_pipeline) and not exists (select from etl.run_log r where r.run_id = p_run_id and r.dry_run);
    v_is_idle := v_is_settled;
    for v_source in
      select distinct t.source from etl.source_table t
      where t.pipeline = p_pipeline and t.capture = 'log' and t.enabled order by 1
    loop
      v_steps := array[etl.begin_step('capture', 'slot at ' || v_source, null, coalesce((p_outcome).attempt, 1))];
      perform etl.take_connection(v_source);
      v_has_changes := true;
      if v_is_settled then
        v_has_changes := etl.has_changes(p_pipeline, v_source, c_most);
      end if;
      if v_has_changes and etl.publish_tables(p_pipeline, v_source) then
        perform etl.ensure_slot(p_pipeline, v_source, p_run_id);
      end if;
      if (p_outcome).attempt > 1 or not v_has_changes then
        p_outcome.steps := (p_outcome).steps || etl.end_step(v_steps, null);
      end if;
      v_is_idle := v_is_idle and not v_has_changes;
    end loop;
    p_outcome.more := case when v_is_idle then false end;
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
  'Makes or mends the slots of a pipeline before its capture; returns p_outcome with the failure, if any, and its step, and more false if there is nothing to do. For headrace_runner, through etl.run().';
revoke all on function etl.prepare_slots(text, bigint, etl.outcome) from public;
grant execute on function etl.prepare_slots(text, bigint, etl.outcome) to headrace_runner;
