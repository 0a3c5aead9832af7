-- Contract: calls the pipeline's on_success or on_failure procedure for a closed run, by hand or by pg_cron alike. The
-- outcome is already committed, so a callback cannot harm the run: what it raises is logged and rolled back.
create or replace function etl.call_back(p_run_id bigint)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run etl.run_log;
  v_callback text;
  v_error etl.failure;
begin
  select r.* into strict v_run from etl.run_log r where r.run_id = p_run_id;
  select case when v_run.status = 'succeeded' then p.on_success else p.on_failure end into v_callback
  from etl.pipeline p
  where p.pipeline = v_run.pipeline;
  if v_callback is null or v_run.dry_run then
    return;
  end if;
  begin
    execute format('call %s($1, $2, $3)', v_callback::regproc) using v_run.pipeline, p_run_id, v_run.status;
  exception when query_canceled or others then
    get stacked diagnostics
      v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
      v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
  end;
  if v_error.sqlstate is not null then
    v_error.step := 'callback';
    v_error.routine := v_callback;
    perform etl.log_error(p_run_id, v_error);
    raise warning '%: the callback % failed: %', v_run.pipeline, v_callback, v_error.message;
  end if;
end
$$;

comment on function etl.call_back(bigint) is
  'Calls the callback procedure of a closed run''s pipeline as headrace_owner; its errors go to etl.procedure_errors and harm nothing. For headrace_runner, through etl.run().';
revoke all on function etl.call_back(bigint) from public;
grant execute on function etl.call_back(bigint) to headrace_runner;
