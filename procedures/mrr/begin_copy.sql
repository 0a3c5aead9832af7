-- Contract: lets the first copy of a large table without a key go straight into its mirror, if that is possible, and
-- says whether it does; the mirror is empty. Once filled, its change set is a view, stg.<mirror>_changes (stg.show_copy), of what is written beside it
-- (stg.<mirror>_written) and of the mirror's rows, each an insert of the batch: nothing is written twice. The mirror's
-- primary key is dropped and made again at once when all rows are there (etl.make_indexes); its numbers begin anew.
-- Invariant: the view stands for one batch that waits. stg.end_copy() ends it: when the batch is published, or, with its
-- rows written out, before anything else changes the mirror.
-- A table that the source's statistics do not know may be large, unless it is empty. The common way, through a change set, go sources over
-- another wrapper, mirrors on a cluster of Citus, what was restored in part and has to be sent anew, a mirror of which
-- earlier changes still wait, one whose change set a view or a function of others is bound to, and one that shares a stage function, since the judge finds rows by
-- their numbers, which those of two copies share; and so it goes while
-- another session, such as a dump, holds a lock on one of the tables.
create or replace function mrr.begin_copy(p_table etl.source_table)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mirror constant text := (p_table).mirror;
  v_connection constant text := 'headrace_' || (p_table).source;
  v_source constant text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
  v_has_rows boolean;
begin
  if (p_table).key_columns is not null or (p_table).needs_rebuild or etl.is_foreign((p_table).source)
     or exists (select from pg_extension e where e.extname = 'citus')
     or exists (select from etl.batch b join etl.batch_table t on t.batch_id = b.batch_id where t.mirror = v_mirror and b.published_at is null)
     or exists (select from etl.stage g join etl.stage o on o.stage = g.stage and o.mirror <> g.mirror where g.mirror = v_mirror)
     or exists (select from pg_depend d where d.refobjid = format('stg.%I', v_mirror || '_changes')::regclass and d.refclassid = 'pg_class'::regclass
                and d.classid in ('pg_rewrite'::regclass, 'pg_proc'::regclass)) then
    return false;
  elsif exists (
    select from etl.settings s
    cross join etl_ext.dblink(v_connection, format('select c.reltuples from pg_class c where c.oid = %L::regclass', v_source)) r (estimate real)
    where r.estimate > 0 and r.estimate < s.copy_from)
  then
    return false;
  end if;
  perform etl.send_query(v_connection, format('select exists (select from %s)', v_source)); -- which a lock there may hold
  select r.has_rows into v_has_rows from etl_ext.dblink_get_result(v_connection) r (has_rows boolean);
  perform etl.finish_query(v_connection);
  if not v_has_rows then
    return false;
  end if;
  begin
    execute format('lock table mrr.%I, stg.%I in access exclusive mode nowait', v_mirror, v_mirror || '_changes');
  exception when lock_not_available then
    return false;
  end;
  execute format('alter table mrr.%I alter _hr_id restart', v_mirror);
  execute format('alter table mrr.%I drop constraint %I', v_mirror,
                 (select c.conname from pg_constraint c where c.conrelid = format('mrr.%I', v_mirror)::regclass and c.contype = 'p'));
  execute format('alter table stg.%I rename to %I', v_mirror || '_changes', v_mirror || '_written');
  return true;
end
$$;

comment on function mrr.begin_copy(etl.source_table) is
  'Makes the mirror of a large table without a key ready to be filled by its first copy, with no change set beside it; false where the copy has to go through a change set. Needs the open snapshot. Internal.';
revoke all on function mrr.begin_copy(etl.source_table) from public;
