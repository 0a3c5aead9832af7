-- requires: etl.status, etl.backups
-- Contract: everything worth watching as name, labels and value, in the base units and with the naming of Prometheus, so one
-- query feeds any exporter. All are gauges: the log is purged, so what is counted in it also falls, as no counter may.
create or replace view etl.metrics as
select m.name, jsonb_build_object('pipeline', s.pipeline) as labels, m.value, m.kind, m.help
from etl.status s
cross join lateral (values
  ('headrace_last_run_succeeded', (s.last_status = 'succeeded')::integer::double precision, 'gauge', '1 if the last run that was not skipped succeeded'),
  ('headrace_last_run_finished_seconds', extract(epoch from s.last_finished_at)::double precision, 'gauge', 'when the last run ended, in seconds of the epoch'),
  ('headrace_running_seconds', coalesce(extract(epoch from clock_timestamp() - s.running_since), 0)::double precision, 'gauge', 'how long the run at work has taken; 0 if none is'),
  ('headrace_freshness_seconds', extract(epoch from s.freshness)::double precision, 'gauge', 'age of what dwh shows'),
  ('headrace_pending_changes', s.pending_changes::double precision, 'gauge', 'changes captured and not yet published'),
  ('headrace_quarantined_rows', s.quarantined::double precision, 'gauge', 'rows in quarantine'),
  ('headrace_paused', s.paused::integer::double precision, 'gauge', '1 while the pipeline is paused'),
  ('headrace_scheduler_up', s.scheduler_is_up::integer::double precision, 'gauge', '0 if the launcher of pg_cron is gone, so that nothing runs by itself'),
  ('headrace_failures_in_a_row', s.failures::double precision, 'gauge', 'failures in a row for want of connection or resources'),
  ('headrace_slot_lag_bytes', s.slot_lag_bytes::double precision, 'gauge', 'WAL that the slots had to deliver when they were last read'),
  ('headrace_slot_lag_seconds', extract(epoch from s.slot_lag)::double precision, 'gauge', 'how long ago the slots were last read')
) m (name, value, kind, help)
where m.value is not null
union all
select 'headrace_runs_logged', jsonb_build_object('pipeline', r.pipeline, 'status', r.status), count(*)::double precision, 'gauge',
       'runs in the log, by outcome'
from etl.run_log r
where r.status <> 'running'
group by r.pipeline, r.status
union all
select 'headrace_errors_logged', jsonb_build_object('pipeline', coalesce(e.pipeline, ''), 'sqlstate_class', left(e.sqlstate, 2)), count(*)::double precision, 'gauge',
       'errors in the log, by class of SQLSTATE'
from etl.procedure_errors e
group by e.pipeline, left(e.sqlstate, 2)
union all
select 'headrace_check_rows', jsonb_build_object('pipeline', c.pipeline, 'check', c.check_name, 'severity', c.severity), l.rows_found::double precision, 'gauge',
       'rows that the check found when it last ran'
from etl.check_rule c
cross join lateral (
  select x.rows_found from etl.check_log x join etl.run_log r on r.run_id = x.run_id
  where r.pipeline = c.pipeline and x.check_name = c.check_name order by x.check_log_id desc limit 1) l
union all
select 'headrace_mirror_differences', jsonb_build_object('mirror', d.mirror), d.rows_different::double precision, 'gauge',
       'rows in which the mirror differed from its source when it was last compared'
from (select distinct on (x.mirror) x.mirror, x.rows_different from etl.reconciliation x order by x.mirror, x.reconciliation_id desc) d
union all
select m.name, jsonb_build_object('kind', b.kind), m.value, 'gauge', m.help
from etl.backups b
cross join lateral (values
  ('headrace_backup_succeeded', (b.status in ('succeeded', 'running'))::integer::double precision, '0 if the newest backup, verification or restore of its kind failed'),
  ('headrace_backup_age_seconds', extract(epoch from b.age)::double precision, 'age of the newest backup, verification or restore of its kind that succeeded'),
  ('headrace_backup_bytes', b.bytes::double precision, 'size of that backup')
) m (name, value, help)
where m.value is not null;

comment on view etl.metrics is 'Figures to watch: name, labels, value, kind and help, as Prometheus names them. For headrace_monitor.';
comment on column etl.metrics.name is 'Name of the metric.';
comment on column etl.metrics.labels is 'Its labels.';
comment on column etl.metrics.value is 'Its value, in base units: seconds, bytes, rows.';
comment on column etl.metrics.kind is 'Prometheus'' kind of metric: gauge.';
comment on column etl.metrics.help is 'What it says.';
revoke all on etl.metrics from public;
grant select on etl.metrics to headrace_monitor;
