-- Contract: writes how a run ended: its steps, checks and error, its outcome in words, when the next may begin, and the
-- notification. The caller has
-- already rolled back what failed, and commits; it also raises the failure, save where a phase was called alone: there a
-- warning is raised here, since an error would take the log with it.
create or replace function etl.close_run(p_run_id bigint, p_outcome etl.outcome)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_error constant etl.failure := (p_outcome).failure;
  v_run etl.run_log;
begin
  insert into etl.step_log (run_id, phase, step, attempt, batch_id, status, rows_read, rows_inserted, rows_updated,
                            rows_deleted, rows_quarantined, started_at, finished_at)
  select p_run_id, s.* from unnest((p_outcome).steps) s;
  if (p_outcome).checks is not null then
    insert into etl.check_log (run_id, check_name, severity, status, first_batch, last_batch, rows_found, sample, checked_at)
    select p_run_id, c.check_name, c.severity, c.status, (p_outcome).first_batch, (p_outcome).last_batch, c.rows_found, c.sample, c.checked_at
    from unnest((p_outcome).checks) c;
  end if;
  if (v_error).sqlstate is not null then
    perform etl.log_error(p_run_id, v_error);
  end if;
  update etl.run_log r
  set status = case when (v_error).sqlstate is null then 'succeeded' when (v_error).sqlstate = '57014' then 'canceled' else 'failed' end,
      finished_at = clock_timestamp(),
      first_batch = (p_outcome).first_batch,
      last_batch = (p_outcome).last_batch,
      message = etl.outcome_message(p_run_id, p_outcome)
  where r.run_id = p_run_id
  returning r.* into strict v_run;
  perform etl.back_off(v_run.pipeline, (v_error).sqlstate);
  perform etl.notify_outcome(p_run_id);
  if (v_error).sqlstate is null then
    raise notice '%: % % succeeded in % ms: %', v_run.pipeline, v_run.action, p_run_id,
      round(extract(epoch from v_run.finished_at - v_run.started_at) * 1000), v_run.message;
  elsif v_run.action in ('capture', 'publish', 'replay_quarantine') then
    raise warning using
      errcode = (v_error).sqlstate,
      message = format('%s: %s %s %s: %s', v_run.pipeline, v_run.action, p_run_id, v_run.status, v_run.message),
      hint = concat_ws(' ', nullif((v_error).hint, ''), format('The log has it: select * from etl.procedure_errors where run_id = %s;', p_run_id));
  end if;
end
$$;

comment on function etl.close_run(bigint, etl.outcome) is
  'Closes run p_run_id with the steps and the failure, if any, in p_outcome; notifies. For headrace_runner, through etl.run().';
revoke all on function etl.close_run(bigint, etl.outcome) from public;
grant execute on function etl.close_run(bigint, etl.outcome) to headrace_runner;
