-- Contract: leaves a warehouse that was restored, whole (p_relations null) or in part, such that the next runs bring it level with
-- its sources. Called in the transaction of the restore, or before the restored instance takes up its schedule.
-- Whole: all layers are of one snapshot, so comparing every mirror with its source is enough, and no row that did not change
-- is re-dated. In part: nobody knows any more what of the mirrors dwh has, so each mirror is also loaded anew (needs_rebuild).
-- p_identity: keep, this is the warehouse that was backed up, and nothing else runs under its id; new, it stands beside its
-- origin, whose slots and jobs are not its own; auto, a copy is told by its cluster and database, as etl.warehouse_id() does; or
-- the id that it had before it was overwritten. A physical copy has cluster and database of its origin, so it has to be told.
create or replace function etl.after_restore(p_relations text[] default null, p_identity text default 'auto')
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pipelines text[];
begin
  if p_identity !~ '^(auto|keep|new|[0-9a-f]{8})$' then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('identity %s is not known', p_identity),
      hint = 'It is auto, keep, new, or an id of eight hexadecimal digits.';
  end if;
  perform pg_advisory_xact_lock(etl.lock_class(), p.pipeline_id) from etl.pipeline p order by p.pipeline_id;
  if p_identity <> 'auto' then
    update etl.warehouse w
    set warehouse_id = case p_identity when 'keep' then w.warehouse_id when 'new' then substr(replace(gen_random_uuid()::text, '-', ''), 1, 8)
                       else p_identity end,
        system_identifier = (select c.system_identifier from pg_control_system() c),
        database_oid = (select d.oid from pg_database d where d.datname = current_database());
  end if;
  if p_identity = 'new' then
    update etl.job set is_scheduled = false where is_scheduled;
  end if;
  perform etl.warehouse_id();

  v_pipelines := etl.restored_pipelines(p_relations);
  update etl.source_table t
  set needs_resync = true, needs_rebuild = t.needs_rebuild or p_relations is not null
  where t.pipeline = any (v_pipelines) and t.copied_at is not null;
  if p_relations is not null then
    perform etl.adopt_batches();
    perform etl.advance_identities();
    perform mrr.rehash(t) from etl.source_table t where t.pipeline = any (v_pipelines) and to_regclass(format('mrr.%I', t.mirror)) is not null;
    delete from etl.deployed_file; -- what of procedures/ is here is not known either: the next deployment brings all of it
  end if;
  update etl.pipeline set failures = 0, next_attempt_at = null where failures > 0 or next_attempt_at is not null;
  update etl.backup_log
  set status = 'aborted', finished_at = clock_timestamp(), message = 'was at work when the backup was taken that was restored'
  where status = 'running';
end
$$;

comment on function etl.after_restore(text[], text) is
  'Leaves a restored warehouse such that the next runs bring it level with its sources. p_relations: what was restored (schema.table), null for everything; p_identity: keep, new, auto, or an id. For the administrator, through backup/restore.sh.';
revoke all on function etl.after_restore(text[], text) from public;
