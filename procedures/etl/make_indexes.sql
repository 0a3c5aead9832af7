-- requires: mrr.unfinished_copies, mrr.make_mirror_index, dwh.is_place_index_deferred, dwh.make_place_index
-- Contract: makes the indexes that a first load has left out, so that readers had its numbers earlier: those of its mirrors, save
-- of a copy that still waits, and the one of the facts. Called after the publish, or by the next run before it captures, in a
-- transaction of its own. Each is a step of the run.
-- Invariant: no error leaves it. One that cannot be made is logged only: nothing is lost without it, and the next run tries again.
-- A run that is canceled here ends with that.
create or replace function etl.make_indexes(p_pipeline text, p_run_id bigint, p_outcome etl.outcome)
returns etl.outcome
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_application constant text := current_setting('application_name');
  v_index record;
  v_steps etl.step_report[];
  v_error etl.failure;
begin
  for v_index in
    select 'm' as kind, t.source_table_id as number, t.mirror, format('mrr.%I', t.mirror) as name
    from mrr.unfinished_copies(p_pipeline) u (mirror) join etl.source_table t on t.mirror = u.mirror
    where not stg.is_copy(t.mirror)
    union all
    select 'f', min(s.step_id), null, 'dwh.fact_sales'
    from etl.step s
    where s.pipeline = p_pipeline and s.target = 'dwh.fact_sales'
    having dwh.is_place_index_deferred(p_pipeline)
    order by kind desc, number
  loop
    v_steps := array[etl.begin_step('publish', 'index ' || v_index.name, null, coalesce((p_outcome).attempt, 1))];
    perform etl.show_progress(p_run_id, v_index.kind, v_index.number, 0, 0, clock_timestamp());
    begin
      if v_index.kind = 'm' then
        perform mrr.make_mirror_index(v_index.mirror);
      else
        perform dwh.make_place_index(p_pipeline);
      end if;
      v_steps := etl.end_step(v_steps, null);
    exception when query_canceled or others then
      get stacked diagnostics
        v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
        v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
      v_error.routine := 'etl.make_indexes';
      v_error.step := v_steps[1].step;
      v_steps := etl.fail_steps(v_steps, v_error.sqlstate);
    end;
    p_outcome.steps := (p_outcome).steps || v_steps;
    perform set_config('application_name', v_application, false);
    if v_error.sqlstate = '57014' then
      p_outcome.failure := v_error;
      return p_outcome;
    elsif v_error.sqlstate is not null then
      perform etl.log_error(p_run_id, v_error);
      v_error := null;
    end if;
  end loop;
  return p_outcome;
end
$$;

comment on function etl.make_indexes(text, bigint, etl.outcome) is
  'Makes the indexes of mirrors and facts that a first load of the pipeline has left out; returns the outcome with a step for each, and the failure if the run was canceled. For headrace_runner, through etl.run().';
revoke all on function etl.make_indexes(text, bigint, etl.outcome) from public;
grant execute on function etl.make_indexes(text, bigint, etl.outcome) to headrace_runner;
