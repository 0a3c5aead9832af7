-- requires: etl.shown_message
-- Contract: one row per backup, verification and restore in the log. Where it was put is left out: readers need not know.
create or replace view dwh.metric_backup as
select
  b.backup_log_id as backup_id,
  b.kind,
  b.status,
  b.started_at,
  b.finished_at,
  extract(epoch from coalesce(b.finished_at, clock_timestamp()) - b.started_at)::double precision as seconds,
  b.bytes,
  etl.shown_message(b.message, (select s.reader_samples from etl.settings s)) as message
from etl.backup_log b;

comment on view dwh.metric_backup is 'Backups, verifications and restores, and how they went. For headrace_reader.';
comment on column dwh.metric_backup.backup_id is 'Number of the backup.';
comment on column dwh.metric_backup.kind is 'logical, physical, verify or restore.';
comment on column dwh.metric_backup.status is 'running, succeeded, failed or aborted.';
comment on column dwh.metric_backup.started_at is 'When it began.';
comment on column dwh.metric_backup.finished_at is 'When it ended; null while it runs.';
comment on column dwh.metric_backup.seconds is 'How long it took, or has taken so far.';
comment on column dwh.metric_backup.bytes is 'Size of the backup.';
comment on column dwh.metric_backup.message is 'The outcome in words, values as etl.settings.reader_samples lets readers see them.';
revoke all on dwh.metric_backup from public;
grant select on dwh.metric_backup to headrace_reader;
