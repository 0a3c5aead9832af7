-- Contract: makes the warehouse ready for a dump, which holds its tables for as long as it takes: first copies that wait
-- (mrr.begin_copy) are written out, so that no run has to wait for the dump before it publishes them. Returns the pipelines whose
-- run is at work on that itself, or changes a mirror: the dump begins after them. Null: it may begin.
-- A copy that cannot be written out is no reason against a dump; then its run waits (etl.await_lock).
create or replace function etl.prepare_backup()
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pipeline etl.pipeline;
  v_busy text[] := array[]::text[];
begin
  for v_pipeline in
    select p.*
    from etl.pipeline p
    where exists (
      select from etl.source_table t
      where t.pipeline = p.pipeline and t.key_columns is null
        and (stg.is_copy(t.mirror)
             or not exists (select from pg_index i where i.indrelid = to_regclass(format('mrr.%I', t.mirror)) and i.indisprimary)))
    order by p.pipeline_id
  loop
    if pg_try_advisory_xact_lock(etl.lock_class(), v_pipeline.pipeline_id) then
      begin
        perform mrr.settle_copies(v_pipeline.pipeline);
      exception when others then
        raise warning 'pipeline %: its first copy could not be written out before the backup: %', v_pipeline.pipeline, sqlerrm;
      end;
    else
      v_busy := v_busy || v_pipeline.pipeline;
    end if;
  end loop;
  return (
    select string_agg(distinct p.pipeline, ', ' order by p.pipeline)
    from etl.pipeline p
    where p.pipeline = any (v_busy)
       or exists (
         select from pg_locks r
         join pg_locks l on l.pid = r.pid and l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.granted and l.database = r.database
         join etl.source_table t on l.relation = to_regclass(format('mrr.%I', t.mirror)) and t.pipeline = p.pipeline
         where r.locktype = 'advisory' and r.objsubid = 2 and r.granted and r.pid <> pg_backend_pid()
           and r.database = (select d.oid from pg_database d where d.datname = current_database())
           and r.classid::bigint = etl.lock_class() and r.objid::bigint = p.pipeline_id));
end
$$;

comment on function etl.prepare_backup() is
  'Writes out first copies that wait, so that a dump holds up no run; returns the pipelines whose run is to be waited for first, or null. For the administrator, or a role that makes backups.';
revoke all on function etl.prepare_backup() from public;
