-- Contract: what the source says now of itself and of a pipeline's slot, over the open connection. slot_position is null
-- where there is no slot of the name that could be read now.
create or replace function etl.slot_state(
  p_source text, p_slot_name text,
  out system_identifier bigint, out timeline integer, out flushed pg_lsn, out slot_position pg_lsn, out slot_exists boolean, out slot_is_lost boolean, out asked_at timestamptz)
language sql
set search_path = pg_catalog, pg_temp
as $$
  select r.system_identifier, r.timeline, r.flushed, r.slot_position, r.slot_exists, r.slot_is_lost, r.asked_at
  from etl_ext.dblink('headrace_' || p_source, format(
    'select s.system_identifier, c.timeline_id, pg_current_wal_flush_lsn(), case when x.wal_status <> ''lost'' and not x.active then x.confirmed_flush_lsn end,'
    '       x.slot_name is not null, coalesce(x.wal_status = ''lost'', false), clock_timestamp()'
    ' from pg_control_system() s cross join pg_control_checkpoint() c left join pg_replication_slots x on x.slot_name = %L', p_slot_name))
    r (system_identifier bigint, timeline integer, flushed pg_lsn, slot_position pg_lsn, slot_exists boolean, slot_is_lost boolean, asked_at timestamptz)
$$;

comment on function etl.slot_state(text, text) is
  'Identity, timeline and flushed WAL position of a source, and the state of a slot there. Needs the open connection. Internal.';
revoke all on function etl.slot_state(text, text) from public;
