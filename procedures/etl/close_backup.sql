-- Contract: writes how a backup, verification or restore ended.
create or replace procedure etl.close_backup(backup_log_id bigint, status text, message text, bytes bigint default null, backup text default null)
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  update etl.backup_log l
  set status = close_backup.status, finished_at = clock_timestamp(), message = close_backup.message,
      bytes = close_backup.bytes, backup = coalesce(close_backup.backup, l.backup)
  where l.backup_log_id = close_backup.backup_log_id;
$$;

comment on procedure etl.close_backup(bigint, text, text, bigint, text) is
  'Writes how entry backup_log_id ended. status: succeeded or failed. For the administrator; a role that only makes backups is granted it by hand.';
revoke all on procedure etl.close_backup(bigint, text, text, bigint, text) from public;
