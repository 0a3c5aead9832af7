-- Contract: after it the pipeline has a slot at the source that continues exactly where its batches end. Where it does not,
-- changes are missing: the slot is lost, gone or has another name (this warehouse is a clone), it is ahead of the batches
-- (this warehouse was restored from a backup), or the source is another server or on another timeline (restored, failed
-- over). Each such gap is logged and mended: a new slot, and every log table is compared with its source. A table that joins a
-- slot has to wait, once, for the transactions that may have written to it before it was published; copy_snapshot says it did.
create or replace function etl.ensure_slot(p_pipeline text, p_source text, p_run_id bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slot etl.slot;
  v_state record;
  v_gap text;
  v_snapshot text;
begin
  select s.* into v_slot from etl.slot s where s.pipeline = p_pipeline and s.source = p_source;
  if found then
    select s.* into v_state from etl.slot_state(p_source, v_slot.slot_name) s;
    v_gap := case
      when v_slot.slot_name <> etl.slot_name(p_pipeline) then format('slot %s belongs to the warehouse that this one is a copy of', v_slot.slot_name)
      when v_state.system_identifier <> v_slot.system_identifier then 'the source is another server than before'
      when v_state.timeline <> v_slot.timeline then format('the source is on timeline %s, it was on %s: it was restored or failed over', v_state.timeline, v_slot.timeline)
      when not v_state.slot_exists then format('slot %s is gone', v_slot.slot_name)
      when v_state.slot_is_lost then format('slot %s is lost: the source kept no more WAL for it (max_slot_wal_keep_size)', v_slot.slot_name)
      when v_state.slot_position > v_slot.position then format('slot %s stands at %s, beyond %s, where the batches end: this warehouse was restored from a backup', v_slot.slot_name, v_state.slot_position, v_slot.position)
      when v_state.flushed < v_slot.position then format('the source''s WAL ends at %s, before %s, where the batches end: it was restored', v_state.flushed, v_slot.position)
    end;
    if v_gap is null then
      if exists (select from etl.source_table t where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log' and t.copied_at is null and t.copy_snapshot is null) then
        v_snapshot := etl.await_transactions(p_source);
        update etl.source_table t set copy_snapshot = v_snapshot
        where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log' and t.copied_at is null;
      end if;
      return;
    end if;
  end if;
  perform etl.make_slot(p_pipeline, p_source);
  if v_gap is not null then
    perform etl.log_error(p_run_id, ('capture', 'etl.ensure_slot', '01000', format('changes of source %s are missing: %s', p_source, v_gap),
                          null, 'Nothing is to be done: a new slot was made, and the tables are compared with their source in this run.', null)::etl.failure);
    raise notice '%: %; a new slot was made and the tables are compared with their source', p_pipeline, v_gap;
  end if;
end
$$;

comment on function etl.ensure_slot(text, text, bigint) is
  'Makes the slot of a pipeline at a source where it is missing or where changes have been lost, and marks the tables for comparison then. Needs the open connection. Internal.';
revoke all on function etl.ensure_slot(text, text, bigint) from public;
