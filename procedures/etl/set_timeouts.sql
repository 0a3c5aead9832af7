-- Contract: sets how long a run of a pipeline, and a table or step in it, may take; null: as long as it likes.
create or replace procedure etl.set_timeouts(pipeline text, run interval default null, step interval default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update etl.pipeline p
  set run_timeout = set_timeouts.run, step_timeout = set_timeouts.step
  where p.pipeline = set_timeouts.pipeline;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', set_timeouts.pipeline),
      hint = 'The registered ones: select * from etl.pipeline;';
  end if;
end
$$;

comment on procedure etl.set_timeouts(text, interval, interval) is
  'Sets the longest time of a run and of a table or step in it; null for no limit. etl.cancel_overdue() enforces it. Raises 42704. For the administrator (member of headrace_owner).';
revoke all on procedure etl.set_timeouts(text, interval, interval) from public;
