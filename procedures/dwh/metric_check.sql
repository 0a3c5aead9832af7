-- requires: etl.shown_row
-- Contract: one row per registered check, with its last outcome; nulls where it has not run yet.
create or replace view dwh.metric_check as
select
  c.pipeline,
  c.check_name,
  c.severity,
  c.enabled,
  l.status,
  l.rows_found,
  l.run_id,
  l.checked_at,
  etl.shown_row(l.sample, s.reader_samples) as sample
from etl.check_rule c
cross join etl.settings s
left join lateral (
  select x.status, x.rows_found, x.run_id, x.checked_at, x.sample
  from etl.check_log x
  join etl.run_log r on r.run_id = x.run_id
  where x.check_name = c.check_name and r.pipeline = c.pipeline
  order by x.check_log_id desc
  limit 1
) l on true;

comment on view dwh.metric_check is 'Checks and what each found when it last ran. For headrace_reader.';
comment on column dwh.metric_check.pipeline is 'Pipeline whose publishes it judges.';
comment on column dwh.metric_check.check_name is 'Name of the check.';
comment on column dwh.metric_check.severity is 'error stops the publish, warn only logs.';
comment on column dwh.metric_check.enabled is 'False leaves it out.';
comment on column dwh.metric_check.status is 'passed, warned, or failed: the publish was stopped; null before its first run.';
comment on column dwh.metric_check.rows_found is 'Offending rows.';
comment on column dwh.metric_check.run_id is 'Run that it was checked in.';
comment on column dwh.metric_check.checked_at is 'When it was checked.';
comment on column dwh.metric_check.sample is 'Some of the offending rows, as etl.settings.reader_samples lets readers see them.';
revoke all on dwh.metric_check from public;
grant select on dwh.metric_check to headrace_reader;
