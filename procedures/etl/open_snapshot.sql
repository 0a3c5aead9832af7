-- Contract: opens one read-only transaction with one snapshot at a source; all that is read over the open connection until
-- etl.disconnect_source() comes from it. Records in etl.batch_source what the snapshot is.
-- p_locked: a table that is not to be truncated between the snapshot and its reading, after which it would read as empty.
-- A source over another wrapper is read in this session's own transaction, and its clock cannot be asked.
-- The WAL position is read first, so everything at or below it is visible in the snapshot.
create or replace function etl.open_snapshot(p_source text, p_batch bigint, p_locked text default null)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || p_source;
  v_lsn pg_lsn;
begin
  if etl.is_foreign(p_source) then
    insert into etl.batch_source (batch_id, source, captured_at) values (p_batch, p_source, clock_timestamp());
    return;
  end if;
  select r.lsn into strict v_lsn
  from etl_ext.dblink(v_connection, 'select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end')
    r (lsn pg_lsn);
  perform etl_ext.dblink_exec(v_connection, 'begin isolation level repeatable read read only');
  if p_locked is not null then
    perform etl.send_query(v_connection, format('lock table %s in access share mode', p_locked));
    perform etl.finish_query(v_connection);
  end if;
  insert into etl.batch_source (batch_id, source, captured_at, snapshot, lsn, system_identifier, timeline)
  select p_batch, p_source, r.captured_at, r.snapshot, v_lsn, r.system_identifier, r.timeline
  from etl_ext.dblink(v_connection, 'select clock_timestamp(), pg_current_snapshot()::text, s.system_identifier, c.timeline_id'
                                    ' from pg_control_system() s, pg_control_checkpoint() c')
    r (captured_at timestamptz, snapshot text, system_identifier bigint, timeline integer);
end
$$;

comment on function etl.open_snapshot(text, bigint, text) is
  'Opens the transaction at the source that a batch is read from, and records its clock, snapshot, WAL position, system identifier and timeline. Needs the open connection. Internal.';
revoke all on function etl.open_snapshot(text, bigint, text) from public;
