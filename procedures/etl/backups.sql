-- Contract: the newest outcome of each kind of backup, for people, for monitoring and for etl.status. A row that is still
-- running counts by its predecessor's success. Costs a few index look-ups.
create or replace view etl.backups as
select
  k.kind,
  n.status,
  n.started_at,
  n.finished_at,
  n.message,
  s.backup,
  s.place,
  s.bytes,
  s.started_at as succeeded_at,
  clock_timestamp() - s.started_at as age
from (values ('logical'), ('physical'), ('verify'), ('restore')) k (kind)
join lateral (
  select l.status, l.started_at, l.finished_at, l.message
  from etl.backup_log l where l.kind = k.kind order by l.backup_log_id desc limit 1
) n on true
left join lateral (
  select l.backup, l.place, l.bytes, l.started_at
  from etl.backup_log l where l.kind = k.kind and l.status = 'succeeded' order by l.backup_log_id desc limit 1
) s on true;

comment on view etl.backups is 'One line per kind of backup: its newest outcome, and the newest that succeeded. For headrace_monitor.';
comment on column etl.backups.kind is 'logical, physical, verify (a backup was restored and compared) or restore.';
comment on column etl.backups.status is 'Outcome of the newest: running, succeeded, failed or aborted.';
comment on column etl.backups.started_at is 'When the newest began.';
comment on column etl.backups.finished_at is 'When the newest ended.';
comment on column etl.backups.message is 'Outcome of the newest in words.';
comment on column etl.backups.backup is 'Name of the newest backup that succeeded, was verified or restored.';
comment on column etl.backups.place is 'Host and directory or repository that it is in.';
comment on column etl.backups.bytes is 'Its size.';
comment on column etl.backups.succeeded_at is 'When it began: what was committed before is in it.';
comment on column etl.backups.age is 'How long ago that was.';
revoke all on etl.backups from public;
grant select on etl.backups to headrace_monitor;
