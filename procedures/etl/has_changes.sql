-- Contract: whether a source has anything for a run of a settled pipeline (etl.is_settled), asked over the open connection. Where it
-- has not, the position is moved up to what was looked at, so other tables' writes hold no WAL; the slot itself follows
-- with the next look or batch, after the commit.
-- Anything but plain waiting, a gap or another shape of a table, counts as changes, and the run sees to it. All of that is written to
-- WAL, save what happened to the slot: where WAL ends as it did, nothing else need be asked.
-- p_most: where more bytes of WAL would have to be decoded for it, they count as changes unseen, since a batch would decode them
-- again; the slot then never lags further behind than that. Null: no limit.
create or replace function etl.has_changes(p_pipeline text, p_source text, p_most bigint)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || p_source;
  v_slot etl.slot;
  v_state record;
  v_has_changes boolean;
begin
  select s.* into v_slot from etl.slot s where s.pipeline = p_pipeline and s.source = p_source;
  select s.* into v_state from etl.slot_state(p_source, etl.slot_name(p_pipeline)) s;
  if (v_state.system_identifier, v_state.timeline) is distinct from (v_slot.system_identifier, v_slot.timeline)
     or v_state.flushed < v_slot.position or v_state.slot_position is null or v_state.slot_position > v_slot.position then
    return true;
  elsif v_state.flushed > v_state.slot_position then
    perform etl.send_query(v_connection, format(
      'select case when %3$L - s.restart_lsn > %4$L then true when (%5$s) is distinct from %6$L then true'
      ' when s.confirmed_flush_lsn < %2$L and pg_replication_slot_advance(%1$L, %2$L) is null then true'
      ' else exists (select from pg_logical_slot_peek_binary_changes(%1$L, %3$L, 1, ''proto_version'', ''1'', ''publication_names'','
      '   (select string_agg(quote_ident(p.pubname), '','') from pg_publication p where p.pubname in (%1$L, %1$L || ''_inserts'')))) end'
      ' from pg_replication_slots s where s.slot_name = %1$L',
      v_slot.slot_name, v_slot.position, v_state.flushed, p_most, t.query, t.registered))
    from etl.table_shapes(p_pipeline, p_source) t;
    select r.has_changes into strict v_has_changes from etl_ext.dblink_get_result(v_connection) r (has_changes boolean);
    perform etl.finish_query(v_connection);
    if v_has_changes then
      return true;
    end if;
  end if;
  update etl.slot s
  set position = v_state.flushed, read_at = v_state.asked_at, lag_bytes = 0
  where s.pipeline = p_pipeline and s.source = p_source;
  return false;
exception when others then
  perform etl.connect_source(p_source); -- the old one may be in the middle of an answer
  return true; -- what is wrong is for the run to meet and to log
end
$$;

comment on function etl.has_changes(text, text, bigint) is
  'Whether a source has anything for a run of a settled pipeline, decoding no more than p_most bytes of WAL; moves the position if not. Needs the open connection. Internal.';
revoke all on function etl.has_changes(text, text, bigint) from public;
