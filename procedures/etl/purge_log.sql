-- Contract: deletes what the log keeps no longer and returns the moment before which cron.job_run_details may go too.
-- A run goes with its steps and errors once it ended log_retention ago. The newest run of each pipeline stays, so that
-- etl.status knows a pipeline that has rested for longer, and so does whatever is running. So do the newest backups that succeeded.
-- A published capture that found nothing goes once a later one is published, so the newest still tells how fresh dwh is.
create or replace function etl.purge_log()
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_before constant timestamptz := v_now - (select s.log_retention from etl.settings s);
  v_cron_before constant timestamptz := v_now - (select s.cron_retention from etl.settings s);
begin
  delete from etl.run_log r
  where r.finished_at < v_before
    and exists (select from etl.run_log newer where newer.pipeline = r.pipeline and newer.run_id > r.run_id);

  delete from etl.procedure_errors e
  where e.run_id is null and e.occurred_at < v_before;

  delete from etl.backup_log l
  where l.finished_at < v_before
    and exists (select from etl.backup_log newer where newer.kind = l.kind and newer.status = 'succeeded' and newer.backup_log_id > l.backup_log_id);

  delete from etl.batch b
  where b.kind = 'capture' and b.rows_changed = 0 and b.published_at is not null
    and exists (select from etl.batch newer
                where newer.pipeline = b.pipeline and newer.kind = 'capture' and newer.published_at is not null
                  and newer.batch_id > b.batch_id);

  return v_cron_before;
end
$$;

comment on function etl.purge_log() is
  'Deletes runs, steps, errors and entries of backups older than log_retention of etl.settings, and empty published batches; returns the moment before which cron.job_run_details may go. For headrace_runner, through etl.purge().';
revoke all on function etl.purge_log() from public;
grant execute on function etl.purge_log() to headrace_runner;
