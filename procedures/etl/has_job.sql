-- Contract: whether pg_cron has a job of the pipeline's own, so that a job of all pipelines leaves it to that one: it keeps
-- its rhythm, and no run finds it at work.
create or replace function etl.has_job(p_pipeline text)
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from etl.job j
    where j.is_scheduled and j.schedule <> '@reboot'
      and j.command ~* '^\s*call\s+etl\.run(_loop)?\s*\(' and position(quote_literal(p_pipeline) in j.command) > 0)
$$;

comment on function etl.has_job(text) is
  'Whether pg_cron has a job that names the pipeline. For headrace_runner, through etl.run().';
revoke all on function etl.has_job(text) from public;
grant execute on function etl.has_job(text) to headrace_runner;
