-- requires: etl.status, etl.shown_message
-- Contract: etl.status for readers: one row per pipeline, in units that charts can use, with the limits it is judged by.
create or replace view dwh.metric_pipeline as
select
  s.pipeline,
  s.last_status,
  s.last_run_id,
  s.last_finished_at,
  (select r.finished_at from etl.run_log r where r.pipeline = s.pipeline and r.status = 'succeeded' order by r.run_id desc limit 1) as last_success_at,
  s.running_since,
  s.captured_at,
  extract(epoch from s.freshness)::double precision as freshness_seconds,
  s.pending_changes,
  s.quarantined,
  s.paused,
  p.pause_reason,
  s.schedule,
  s.next_run_at,
  s.failures,
  s.next_attempt_at,
  s.slot_lag_bytes,
  extract(epoch from s.slot_lag)::double precision as slot_lag_seconds,
  coalesce(s.slot_lag_warning, false) as slot_lag_warning,
  etl.shown_message(s.last_error, (select t.reader_samples from etl.settings t)) as last_error
from etl.status s
join etl.pipeline p on p.pipeline = s.pipeline;

comment on view dwh.metric_pipeline is 'One row per pipeline: last outcome, freshness, what waits, quarantine, slot, next schedule. For headrace_reader.';
comment on column dwh.metric_pipeline.pipeline is 'Pipeline.';
comment on column dwh.metric_pipeline.last_status is 'Outcome of the last run that was not skipped; null before the first.';
comment on column dwh.metric_pipeline.last_run_id is 'Number of that run.';
comment on column dwh.metric_pipeline.last_finished_at is 'When that run ended.';
comment on column dwh.metric_pipeline.last_success_at is 'When the last run that succeeded ended; null where none has.';
comment on column dwh.metric_pipeline.running_since is 'Start of the run at work; null if none is.';
comment on column dwh.metric_pipeline.captured_at is 'The source''s clock when what dwh shows was captured.';
comment on column dwh.metric_pipeline.freshness_seconds is 'Age of what dwh shows.';
comment on column dwh.metric_pipeline.pending_changes is 'Changes captured and not yet published.';
comment on column dwh.metric_pipeline.quarantined is 'Rows in quarantine.';
comment on column dwh.metric_pipeline.paused is 'True while the pipeline is paused.';
comment on column dwh.metric_pipeline.pause_reason is 'Why it is paused, in words.';
comment on column dwh.metric_pipeline.schedule is 'Schedule of the job that runs it, as pg_cron writes it; null if none does.';
comment on column dwh.metric_pipeline.next_run_at is 'Next tick of that schedule; null where pg_cron does not have the job or is not at work, or while paused.';
comment on column dwh.metric_pipeline.failures is 'Failures in a row for want of connection or resources.';
comment on column dwh.metric_pipeline.next_attempt_at is 'Until then runs are skipped, unless forced; null if nothing is wrong.';
comment on column dwh.metric_pipeline.slot_lag_bytes is 'WAL that the pipeline''s slots still had to deliver when they were last read; null without a slot.';
comment on column dwh.metric_pipeline.slot_lag_seconds is 'How long ago the pipeline''s slots were last read.';
comment on column dwh.metric_pipeline.slot_lag_warning is 'True where slot_lag_bytes exceeds etl.settings.slot_lag_warning.';
comment on column dwh.metric_pipeline.last_error is 'What went wrong in the last run, values as etl.settings.reader_samples lets readers see them; null if nothing did.';
revoke all on dwh.metric_pipeline from public;
grant select on dwh.metric_pipeline to headrace_reader;
