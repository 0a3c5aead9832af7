-- Contract: drops every slot of this warehouse at its sources, before the warehouse itself goes; a slot that nobody reads would
-- fill its source's disk. Waits for runs at work and pauses every pipeline, or the next run would make them anew. What
-- cannot be reached is named in a warning with the statement for its DBA.
create or replace procedure etl.drop_slots()
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slot etl.slot;
begin
  perform pg_advisory_xact_lock(etl.lock_class(), p.pipeline_id) from etl.pipeline p order by p.pipeline_id;
  update etl.pipeline p set paused_at = clock_timestamp(), pause_reason = 'its slots were dropped' where p.paused_at is null;
  for v_slot in select s.* from etl.slot s where s.slot_name = etl.slot_name(s.pipeline) loop -- not those of a copy's origin
    begin
      perform etl.connect_source(v_slot.source);
      perform from etl_ext.dblink('headrace_' || v_slot.source, format(
        'select pg_drop_replication_slot(slot_name)::text from pg_replication_slots where slot_name = %L', v_slot.slot_name)) r (ok text);
      perform etl_ext.dblink_exec('headrace_' || v_slot.source, 'set default_transaction_read_only = off'); -- the role's own default
      perform etl_ext.dblink_exec('headrace_' || v_slot.source, format('drop publication if exists %I, %I', v_slot.slot_name, v_slot.slot_name || '_inserts'));
    exception when others then
      raise warning 'source % may still have slot % or its publication: %', v_slot.source, v_slot.slot_name, sqlerrm
        using hint = format('At the source, as its DBA: select pg_drop_replication_slot(%1$L); drop publication if exists %1$I, %2$I;', v_slot.slot_name, v_slot.slot_name || '_inserts');
    end;
    perform etl.disconnect_source(v_slot.source);
    delete from etl.slot s where s.pipeline = v_slot.pipeline and s.source = v_slot.source;
  end loop;
end
$$;

comment on procedure etl.drop_slots() is
  'Pauses all pipelines, and drops all slots and publications of this warehouse at its sources; warns where it may not. For the administrator (member of headrace_owner), before the warehouse is dropped.';
revoke all on procedure etl.drop_slots() from public;
