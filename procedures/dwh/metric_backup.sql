-- Contract: one row per backup. Nothing takes them here yet, so it is empty; its columns stay what they are.
create or replace view dwh.metric_backup as
select
  null::bigint as backup_id,
  null::text as kind,
  null::text as status,
  null::timestamptz as started_at,
  null::timestamptz as finished_at,
  null::double precision as seconds,
  null::bigint as bytes,
  null::text as message
where false;

comment on view dwh.metric_backup is 'Backups and how they went. For headrace_reader.';
comment on column dwh.metric_backup.backup_id is 'Number of the backup.';
comment on column dwh.metric_backup.kind is 'logical, physical, verify or restore.';
comment on column dwh.metric_backup.status is 'running, succeeded, failed or aborted.';
comment on column dwh.metric_backup.started_at is 'When it began.';
comment on column dwh.metric_backup.finished_at is 'When it ended; null while it runs.';
comment on column dwh.metric_backup.seconds is 'How long it took.';
comment on column dwh.metric_backup.bytes is 'Size of what it wrote.';
comment on column dwh.metric_backup.message is 'The outcome in words.';
revoke all on dwh.metric_backup from public;
grant select on dwh.metric_backup to headrace_reader;
