-- Contract: whether a run of the pipeline would find anything to do, at the cost of one look into its slots. Where nothing
-- came, the position is moved up to what was looked at (and the slot with the next look, after the commit), so other
-- tables' writes hold no WAL. Anything but plain waiting, a gap, a copy to be made, a table of another mode, counts as
-- pending, and the run sees to it.
create or replace function etl.has_pending(p_pipeline text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slot etl.slot;
  v_state record;
  v_is_pending boolean;
begin
  if exists (select from etl.batch b where b.pipeline = p_pipeline and b.published_at is null and b.rows_changed > 0)
     or exists (select from etl.source_table t where t.pipeline = p_pipeline and t.enabled
                and (t.capture <> 'log' or t.copied_at is null or t.needs_resync or t.copy_lsn is not null))
     or not exists (select from etl.slot s where s.pipeline = p_pipeline) then
    return true;
  end if;
  for v_slot in select s.* from etl.slot s where s.pipeline = p_pipeline loop
    perform etl.connect_source(v_slot.source);
    select s.* into v_state from etl.slot_state(v_slot.source, etl.slot_name(p_pipeline)) s;
    if v_state.slot_position is null or v_state.slot_position > v_slot.position
       or (v_state.system_identifier, v_state.timeline) is distinct from (v_slot.system_identifier, v_slot.timeline) then
      return true;
    end if;
    select r.is_pending into v_is_pending
    from etl_ext.dblink('headrace_' || v_slot.source, format(
      'select pg_replication_slot_advance(%1$L, %2$L) is null'
      ' or exists (select from pg_logical_slot_peek_binary_changes(%1$L, %3$L, 1, ''proto_version'', ''1'', ''publication_names'','
      '   (select string_agg(quote_ident(p.pubname), '','') from pg_publication p where p.pubname in (%1$L, %1$L || ''_inserts''))))',
      v_slot.slot_name, greatest(v_slot.position, v_state.slot_position), greatest(v_state.flushed, v_slot.position)))
      r (is_pending boolean);
    perform etl.disconnect_source(v_slot.source);
    if v_is_pending then
      return true;
    end if;
    update etl.slot s
    set position = greatest(v_state.flushed, v_slot.position), read_at = v_state.asked_at, lag_bytes = 0
    where s.pipeline = p_pipeline and s.source = v_slot.source;
  end loop;
  return false;
exception when others then
  perform etl.disconnect_source(); -- what is wrong is for the run to meet and to log
  return true;
end
$$;

comment on function etl.has_pending(text) is
  'Whether a run of the pipeline would find anything to do; moves the position of idle slots. For headrace_runner, through etl.run_loop().';
revoke all on function etl.has_pending(text) from public;
grant execute on function etl.has_pending(text) to headrace_runner;
