-- Contract: whether a run of the pipeline could start now: it is neither paused nor at work, nor does it back off. If so, it
-- holds the pipeline's lock until the end of the transaction, so that what is looked at does not change meanwhile. Raises 42704 for an unknown pipeline.
create or replace function etl.is_idle(p_pipeline text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pipeline etl.pipeline;
begin
  select p.* into v_pipeline from etl.pipeline p where p.pipeline = p_pipeline;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', p_pipeline),
      hint = 'The registered ones: select * from etl.pipeline;';
  elsif v_pipeline.paused_at is not null or v_pipeline.next_attempt_at > clock_timestamp()
        or not pg_try_advisory_xact_lock(etl.lock_class(), v_pipeline.pipeline_id) then
    return false;
  end if;
  return true;
end
$$;

comment on function etl.is_idle(text) is
  'Whether a pipeline is neither paused nor at work, nor backs off; holds its lock until the end of the transaction if so. Raises 42704. For headrace_runner, through etl.run_loop().';
revoke all on function etl.is_idle(text) from public;
grant execute on function etl.is_idle(text) to headrace_runner;
