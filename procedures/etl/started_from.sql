-- Contract: what this session is: pg_cron, or the application name that its client gave.
-- Not SECURITY DEFINER: only a role that a session belongs to may see that it is one of pg_cron's workers.
create or replace function etl.started_from()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case when a.application_name = 'pg_cron' or a.backend_type = 'pg_cron' then 'pg_cron'
              else coalesce(nullif(a.application_name, ''), 'unknown') end
  from pg_stat_get_activity(pg_backend_pid()) a
$$;

comment on function etl.started_from() is
  'pg_cron, or the application name of this session; for the log. For headrace_runner, through etl.run().';
revoke all on function etl.started_from() from public;
grant execute on function etl.started_from() to headrace_runner;
