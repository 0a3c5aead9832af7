-- Contract: writes that a backup, verification or restore begins, and returns its number. What an earlier one of the kind
-- left running at the same place has died, since the scripts lock the place: it becomes aborted.
create or replace function etl.open_backup(kind text, place text, backup text default null)
returns bigint
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  update etl.backup_log l
  set status = 'aborted', finished_at = clock_timestamp(), message = 'its script ended before it could say how it went'
  where l.kind = open_backup.kind and l.place = open_backup.place and l.status = 'running';
  insert into etl.backup_log (kind, place, backup)
  values (open_backup.kind, open_backup.place, open_backup.backup)
  returning backup_log_id;
$$;

comment on function etl.open_backup(text, text, text) is
  'Writes that a backup, verification or restore begins and returns its number for etl.close_backup(). kind: logical, physical, verify, restore. For the administrator; a role that only makes backups is granted it by hand.';
revoke all on function etl.open_backup(text, text, text) from public;
