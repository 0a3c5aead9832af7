-- requires: etl.shown_message
-- Contract: one row per run in the log, with the rows it moved. What a run rolled back counts for nothing, as in the log's
-- own message. Ask for the newest with order by run_id desc limit n: only theirs are added up then.
create or replace view dwh.metric_run as
select
  r.run_id,
  r.pipeline,
  r.action,
  r.status,
  r.dry_run,
  r.started_by,
  r.started_from,
  r.started_at,
  r.finished_at,
  extract(epoch from coalesce(r.finished_at, clock_timestamp()) - r.started_at)::double precision as seconds,
  s.rows_read,
  s.rows_captured,
  b.rows_published,
  s.rows_quarantined,
  s.attempts,
  (select count(*) from etl.procedure_errors e where e.run_id = r.run_id) as errors,
  etl.shown_message(r.message, (select t.reader_samples from etl.settings t)) as message
from etl.run_log r
cross join lateral (
  select
    coalesce(sum(x.rows_read) filter (where x.phase = 'capture' and x.step <> 'read slot' and x.status = 'succeeded'), 0)::bigint as rows_read,
    coalesce(sum(x.rows_inserted + x.rows_updated + x.rows_deleted) filter (where x.phase = 'capture' and x.status = 'succeeded'), 0)::bigint as rows_captured,
    coalesce(sum(x.rows_quarantined) filter (where x.status = 'succeeded'), 0)::bigint as rows_quarantined,
    coalesce(max(x.attempt), 1) as attempts
  from etl.step_log x
  where x.run_id = r.run_id
) s
cross join lateral (
  select coalesce(sum(x.rows_changed), 0)::bigint as rows_published
  from etl.batch x
  where x.pipeline = r.pipeline and x.batch_id between r.first_batch and r.last_batch and x.published_run_id = r.run_id
) b;

comment on view dwh.metric_run is 'Runs in the log: outcome, duration and the rows they moved. For headrace_reader.';
comment on column dwh.metric_run.run_id is 'Number of the run.';
comment on column dwh.metric_run.pipeline is 'Pipeline.';
comment on column dwh.metric_run.action is 'run, capture, publish, rebuild or replay_quarantine.';
comment on column dwh.metric_run.status is 'running, succeeded, failed, skipped, canceled or aborted.';
comment on column dwh.metric_run.dry_run is 'True if everything it did was rolled back on purpose.';
comment on column dwh.metric_run.started_by is 'Role that started it.';
comment on column dwh.metric_run.started_from is 'pg_cron, or the application name of the session.';
comment on column dwh.metric_run.started_at is 'When it was opened.';
comment on column dwh.metric_run.finished_at is 'When it was closed; null while it runs.';
comment on column dwh.metric_run.seconds is 'How long it took, or has taken so far.';
comment on column dwh.metric_run.rows_read is 'Rows read at the sources.';
comment on column dwh.metric_run.rows_captured is 'Changes captured.';
comment on column dwh.metric_run.rows_published is 'Changes published, those that earlier runs captured included.';
comment on column dwh.metric_run.rows_quarantined is 'Rows sent to quarantine.';
comment on column dwh.metric_run.attempts is 'Attempts that its phases took.';
comment on column dwh.metric_run.errors is 'Errors that it logged.';
comment on column dwh.metric_run.message is 'The outcome in words, values as etl.settings.reader_samples lets readers see them.';
revoke all on dwh.metric_run from public;
grant select on dwh.metric_run to headrace_reader;
