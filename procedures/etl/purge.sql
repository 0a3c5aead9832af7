-- Contract: deletes what etl.settings says is kept no longer: of the log by etl.purge_log(), and, where pg_cron lives in this
-- database, of the ended runs that the jobs of this warehouse left in cron.job_run_details, and of jobs that are gone,
-- which are known by database and role.
-- Not SECURITY DEFINER, because pg_cron's row policy shows each role the rows of its own jobs alone: headrace_runner, whose
-- jobs they are, reaches all of them, a superuser too, headrace_owner none. Where pg_cron lives in another database, they
-- are for its administrator to delete.
create or replace procedure etl.purge()
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_may_see_cron constant boolean := (
    select has_schema_privilege(n.oid, 'usage')
    from pg_namespace n
    join pg_class c on c.relnamespace = n.oid
    where n.nspname = 'cron' and c.relname = 'job_run_details'
  );
  v_before timestamptz;
begin
  v_before := etl.purge_log();

  if v_may_see_cron then
    -- A run that never got to start has no times: it is as old as its neighbours.
    execute $delete$
      delete from cron.job_run_details d
      where d.status in ('succeeded', 'failed')
        and coalesce(d.end_time < $1, d.start_time < $1,
                     d.runid < (select max(o.runid) from cron.job_run_details o where o.start_time < $1))
        and case when exists (select from cron.job j where j.jobid = d.jobid)
                 then exists (select from cron.job j where j.jobid = d.jobid and j.jobname like $2)
                 else d.database = current_database() and d.username = 'headrace_runner' end
    $delete$ using v_before, format('headrace:%s:%%', etl.warehouse_id());
  elsif not v_may_see_cron then
    raise warning 'cron.job_run_details was not purged: % may not use schema cron', current_user
      using hint = 'As administrator: grant usage on schema cron to headrace_runner;';
  end if;
end
$$;

comment on procedure etl.purge() is
  'Deletes runs, steps and errors older than log_retention of etl.settings, rows of cron.job_run_details of this warehouse''s jobs older than cron_retention, and empty published batches. Never touches what is running. Warns where schema cron is closed to its caller. For headrace_runner; a job calls it.';
revoke all on procedure etl.purge() from public;
grant execute on procedure etl.purge() to headrace_runner;
