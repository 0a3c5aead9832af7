-- requires: etl.next_tick, etl.backups
-- Contract: one line per pipeline, for people and for monitoring. Costs a few index look-ups per pipeline.
create or replace view etl.status as
select
  p.pipeline,
  r.status as last_status,
  r.run_id as last_run_id,
  r.finished_at as last_finished_at,
  w.started_at as running_since,
  greatest(b.captured_at, l.read_at) as captured_at,
  clock_timestamp() - greatest(b.captured_at, l.read_at) as freshness,
  (select coalesce(sum(x.rows_changed), 0)::bigint from etl.batch x where x.pipeline = p.pipeline and x.published_at is null) as pending_changes,
  (select count(*) from stg.quarantine q join etl.source_table t on t.mirror = q.mirror where t.pipeline = p.pipeline) as quarantined,
  p.paused_at is not null as paused,
  j.schedule,
  case when j.is_scheduled and u.is_up and p.paused_at is null then etl.next_tick(j.schedule) end as next_run_at,
  case when r.status <> 'succeeded' then r.message end as last_error,
  p.failures,
  p.next_attempt_at,
  l.lag_bytes as slot_lag_bytes,
  clock_timestamp() - l.asked_at as slot_lag,
  l.lag_bytes > (select s.slot_lag_warning from etl.settings s) as slot_lag_warning,
  k.backup_status,
  k.backup_at,
  k.verify_status,
  k.verified_at,
  case when j.is_scheduled then u.is_up end as scheduler_is_up
from etl.pipeline p
left join lateral (
  select l.status, l.run_id, l.finished_at, l.message
  from etl.run_log l
  where l.pipeline = p.pipeline and l.status not in ('running', 'skipped')
  order by l.run_id desc
  limit 1
) r on true
left join lateral (
  select l.started_at from etl.run_log l where l.pipeline = p.pipeline and l.status = 'running' order by l.run_id desc limit 1
) w on true
left join lateral (
  select max(x.captured_at) as captured_at
  from (select y.captured_at from etl.batch y
        where y.pipeline = p.pipeline and y.published_at is not null order by y.batch_id desc limit 1) x
) b on true
left join lateral (
  select s.schedule, s.is_scheduled
  from etl.job s
  where s.command ~* '^\s*call\s+etl\.run(_loop)?\s*\('
    and s.schedule <> '@reboot'
    and (s.command ~ '\(\s*\)' or position(quote_literal(p.pipeline) in s.command) > 0)
  order by position(quote_literal(p.pipeline) in s.command) > 0 desc, s.job
  limit 1
) j on true
left join lateral (
  -- all that a slot delivered is published: as fresh as its last look
  select case when not exists (select from etl.source_table t where t.pipeline = p.pipeline and t.enabled and t.capture <> 'log')
                   and not exists (select from etl.batch x where x.pipeline = p.pipeline and x.published_at is null)
              then min(s.read_at) filter (where s.lag_bytes = 0) end as read_at,
         max(s.lag_bytes) as lag_bytes,
         min(s.read_at) as asked_at
  from etl.slot s
  where s.pipeline = p.pipeline
) l on true
cross join (
  select (array_agg(b.status order by b.started_at desc) filter (where b.kind in ('logical', 'physical')))[1] as backup_status,
         max(b.succeeded_at) filter (where b.kind in ('logical', 'physical')) as backup_at,
         min(b.status) filter (where b.kind = 'verify') as verify_status,
         max(b.succeeded_at) filter (where b.kind = 'verify') as verified_at
  from etl.backups b
) k
cross join (
  -- its name is all that a role without pg_read_all_stats sees of the launcher
  select exists (select from pg_stat_activity a where a.application_name = 'pg_cron scheduler') as is_up
) u;

comment on view etl.status is 'One line per pipeline: last outcome, freshness, what is pending, quarantine, next schedule. For headrace_monitor.';
comment on column etl.status.pipeline is 'Pipeline.';
comment on column etl.status.last_status is 'Outcome of the last run that was not skipped; null before the first.';
comment on column etl.status.last_run_id is 'Number of that run.';
comment on column etl.status.last_finished_at is 'When that run ended.';
comment on column etl.status.running_since is 'Start of the run at work; null if none is.';
comment on column etl.status.captured_at is 'The source''s clock when what dwh shows was captured.';
comment on column etl.status.freshness is 'Age of what dwh shows.';
comment on column etl.status.pending_changes is 'Changes captured and not yet published.';
comment on column etl.status.quarantined is 'Rows in quarantine.';
comment on column etl.status.paused is 'True while the pipeline is paused.';
comment on column etl.status.schedule is 'Schedule of the job that runs it, as pg_cron writes it; null if none does.';
comment on column etl.status.next_run_at is 'Next tick of that schedule; null where pg_cron does not have the job or is not at work, or while paused.';
comment on column etl.status.last_error is 'What went wrong in the last run; null if nothing did.';
comment on column etl.status.failures is 'Failures in a row for want of connection or resources.';
comment on column etl.status.next_attempt_at is 'Until then runs are skipped, unless forced; null if nothing is wrong.';
comment on column etl.status.slot_lag_bytes is 'WAL that the pipeline''s slots still had to deliver when they were last read; null without a slot.';
comment on column etl.status.slot_lag is 'How long ago the pipeline''s slots were last read.';
comment on column etl.status.slot_lag_warning is 'True where slot_lag_bytes exceeds etl.settings.slot_lag_warning.';
comment on column etl.status.backup_status is 'Outcome of the newest backup of the warehouse, logical or physical; null before the first.';
comment on column etl.status.backup_at is 'Start of the newest backup of the warehouse that succeeded.';
comment on column etl.status.verify_status is 'Outcome of the newest verification of a backup; null before the first.';
comment on column etl.status.verified_at is 'Start of the newest verification that succeeded.';
comment on column etl.status.scheduler_is_up is 'False where pg_cron has the job and its launcher is gone, so that nothing runs by itself; null where it does not have the job.';
revoke all on etl.status from public;
grant select on etl.status to headrace_monitor;
