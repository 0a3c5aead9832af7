-- Contract: pauses a pipeline: runs are logged as skipped until etl.resume(); one at work goes on to its end. Idempotent.
create or replace procedure etl.pause(pipeline text, reason text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update etl.pipeline p
  set paused_at = coalesce(p.paused_at, clock_timestamp()), pause_reason = coalesce(pause.reason, p.pause_reason)
  where p.pipeline = pause.pipeline;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', pause.pipeline),
      hint = 'The registered ones: select * from etl.pipeline;';
  end if;
end
$$;

comment on procedure etl.pause(text, text) is
  'Pauses a pipeline; reason is shown with every skipped run. Raises 42704. For the administrator (member of headrace_owner).';
revoke all on procedure etl.pause(text, text) from public;
