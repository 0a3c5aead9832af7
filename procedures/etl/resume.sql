-- Contract: ends a pause; idempotent. The next run catches up.
create or replace procedure etl.resume(pipeline text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update etl.pipeline p set paused_at = null, pause_reason = null where p.pipeline = resume.pipeline;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', resume.pipeline),
      hint = 'The registered ones: select * from etl.pipeline;';
  end if;
end
$$;

comment on procedure etl.resume(text) is
  'Resumes a paused pipeline. Raises 42704. For the administrator (member of headrace_owner).';
revoke all on procedure etl.resume(text) from public;
