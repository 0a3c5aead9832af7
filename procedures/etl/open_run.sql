-- Contract: opens a run of one pipeline: releases what this session still holds of an earlier, cancelled call, takes the
-- pipeline's lock, closes rows that a dead session left running as aborted, and writes the new run. Returns its number, or
-- null where the run has to be left out, which is logged as skipped with the reason.
-- The lock is an advisory lock of the session (p_session; it has to outlive etl.run()'s commits) or of the transaction.
-- p_started_from: what etl.started_from() says to the session's own role; the owner may not see it.
-- Errors: 42704 for an unknown pipeline.
create or replace function etl.open_run(p_pipeline text, p_action text, p_session boolean, p_dry_run boolean, p_force boolean,
  p_started_from text default null)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pipeline etl.pipeline;
  v_started_from constant text := coalesce(p_started_from, etl.started_from());
  v_skipped text;
  v_aborted bigint[];
  v_run_id bigint;
begin
  select p.* into v_pipeline from etl.pipeline p where p.pipeline = p_pipeline;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', p_pipeline),
      hint = format('Registered: %s. Another one comes with etl.add_table(…, pipeline => …).',
                    (select string_agg(p.pipeline, ', ' order by p.pipeline) from etl.pipeline p));
  end if;

  perform etl.release_run(p_pipeline);
  if not (case when p_session then pg_try_advisory_lock(etl.lock_class(), v_pipeline.pipeline_id)
                              else pg_try_advisory_xact_lock(etl.lock_class(), v_pipeline.pipeline_id) end) then
    v_skipped := coalesce(
      (select format('run %s has been at work since %s', r.run_id, r.started_at)
       from etl.run_log r where r.pipeline = p_pipeline and r.status = 'running' order by r.run_id desc limit 1),
      'another session is at work on the pipeline');
  elsif v_pipeline.paused_at is not null and not p_force then
    v_skipped := format('the pipeline has been paused since %s%s; call etl.resume(%L) to go on, or run with force => true',
                        v_pipeline.paused_at, coalesce(': ' || v_pipeline.pause_reason, ''), p_pipeline);
  elsif v_pipeline.next_attempt_at > clock_timestamp() and not p_force then
    v_skipped := format('after %s failures in a row the next attempt is due at %s; mend the cause and run with force => true to go on at once',
                        v_pipeline.failures, v_pipeline.next_attempt_at);
  end if;

  if v_skipped is not null and p_session then
    perform etl.release_run(p_pipeline);
  end if;
  if v_skipped is null then
    with aborted as (
      update etl.run_log r
      set status = 'aborted', finished_at = clock_timestamp(),
          message = format('its session (backend %s) ended before the run did; what it had not committed was rolled back', r.backend_pid)
      where r.pipeline = p_pipeline and r.status = 'running'
      returning r.run_id
    )
    select array_agg(a.run_id) into v_aborted from aborted a;
    perform etl.notify_outcome(a.run_id) from unnest(v_aborted) a (run_id);
  end if;
  insert into etl.run_log (pipeline, action, status, started_by, started_from, backend_pid, dry_run, finished_at, message)
  values (p_pipeline, p_action, case when v_skipped is null then 'running' else 'skipped' end, session_user, v_started_from,
          pg_backend_pid(), p_dry_run, case when v_skipped is not null then clock_timestamp() end, v_skipped)
  returning run_id into v_run_id;
  if v_skipped is not null then
    raise notice '%: run % skipped: %', p_pipeline, v_run_id, v_skipped;
    perform etl.notify_outcome(v_run_id);
    return null;
  end if;
  return v_run_id;
end
$$;

comment on function etl.open_run(text, text, boolean, boolean, boolean, text) is
  'Opens a run: takes the pipeline''s lock (p_session: of the session, else of the transaction), marks runs of dead sessions aborted, and returns the run''s number; null if it is skipped (locked, or paused or backing off without p_force). p_started_from: what started it. Raises 42704. For headrace_runner, through etl.run().';
revoke all on function etl.open_run(text, text, boolean, boolean, boolean, text) from public;
grant execute on function etl.open_run(text, text, boolean, boolean, boolean, text) to headrace_runner;
