-- Contract: waits until all transactions have ended that were writing at a source when it was called, and returns the source's
-- snapshot from its beginning. Before a first copy this has to be, for what neither the copy's snapshot shows nor the slot
-- delivers: rows written before their table was published, and a commit that was in the WAL before the slot began
-- but not yet visible, such as one that waits for a standby. This session's own transaction, where the warehouse lives in the
-- source's cluster, does not count. Raises 55P03 after etl.settings.slot_timeout, naming what it waited for.
create or replace function etl.await_transactions(p_source text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || p_source;
  v_timeout constant interval := (select s.slot_timeout from etl.settings s);
  v_since constant timestamptz := clock_timestamp();
  v_snapshot text;
  v_xid text; -- a number of its own, because a snapshot does not list what began after the newest transaction that has ended
  v_system_identifier bigint;
  v_own text;
  v_is_open boolean;
begin
  select r.snapshot, r.xid, r.system_identifier into strict v_snapshot, v_xid, v_system_identifier
  from etl_ext.dblink(v_connection, 'select pg_current_snapshot()::text, pg_current_xact_id()::text, s.system_identifier from pg_control_system() s')
    r (snapshot text, xid text, system_identifier bigint);
  select pg_current_xact_id_if_assigned()::text into v_own from pg_control_system() s where s.system_identifier = v_system_identifier;
  loop
    select r.is_open into strict v_is_open
    from etl_ext.dblink(v_connection, format(
      'select exists (select from pg_snapshot_xip(pg_current_snapshot()) x where x < %L::xid8 and x::text <> %L)', v_xid, coalesce(v_own, ''))) r (is_open boolean);
    exit when not v_is_open;
    if clock_timestamp() - v_since > v_timeout then
      raise exception using
        errcode = 'lock_not_available',
        message = format('source %s could not be copied: transactions are still open there that began before its tables were captured', p_source),
        detail = coalesce('Open: ' || etl.open_transactions(p_source), 'They have ended in the meantime.'),
        hint = 'It is tried again at the next run. End the transactions named, or raise etl.settings.slot_timeout.';
    end if;
    perform pg_sleep(0.02);
  end loop;
  return v_snapshot;
end
$$;

comment on function etl.await_transactions(text) is
  'Waits for the transactions that write at a source now, and returns its snapshot from before. Raises 55P03 after etl.settings.slot_timeout. Needs the open connection. Internal.';
revoke all on function etl.await_transactions(text) from public;
