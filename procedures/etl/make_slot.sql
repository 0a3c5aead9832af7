-- Contract: makes a pipeline's slot at a source, anew if one of the name is there, and records it; every log table of the
-- pipeline at that source has to be copied or compared afterwards. A slot can only be made once all transactions that write at that
-- moment have ended; it waits for them for etl.settings.slot_timeout and then names them.
create or replace function etl.make_slot(p_pipeline text, p_source text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || p_source;
  v_slot_name constant text := etl.slot_name(p_pipeline);
  v_timeout constant interval := (select s.slot_timeout from etl.settings s);
  v_state record;
  v_position pg_lsn;
  v_snapshot text;
begin
  select s.* into v_state from etl.slot_state(p_source, v_slot_name) s;
  if v_state.slot_exists then
    perform from etl_ext.dblink(v_connection, format('select pg_drop_replication_slot(%L)', v_slot_name)) r (ok text);
  end if;
  begin
    perform etl_ext.dblink_exec(v_connection, format('set statement_timeout = %s', 1000 * extract(epoch from v_timeout)::bigint));
    perform etl.send_query(v_connection, format('select lsn from pg_create_logical_replication_slot(%L, ''pgoutput'')', v_slot_name));
    select r.lsn into strict v_position from etl_ext.dblink_get_result(v_connection) r (lsn pg_lsn);
    perform etl.finish_query(v_connection);
    perform etl_ext.dblink_exec(v_connection, 'reset statement_timeout');
  exception when sqlstate '57014' then
    perform etl.connect_source(p_source); -- a cancel of our own ends here again, at the next wait
    perform from etl_ext.dblink(v_connection, format('select pg_drop_replication_slot(slot_name)::text from pg_replication_slots where slot_name = %L and not active', v_slot_name)) r (ok text);
    raise exception using
      errcode = 'lock_not_available',
      message = format('slot %s could not be made at source %s within %s: transactions are still open there', v_slot_name, p_source, v_timeout),
      detail = coalesce('Open: ' || etl.open_transactions(p_source), 'They have ended in the meantime.'),
      hint = 'It is tried again at the next run. End the transactions named, or raise etl.settings.slot_timeout.';
  end;
  begin
    v_snapshot := etl.await_transactions(p_source);
  exception when lock_not_available then
    perform from etl_ext.dblink(v_connection, format('select pg_drop_replication_slot(%L)::text', v_slot_name)) r (ok text);
    raise;
  end;
  insert into etl.slot (pipeline, source, slot_name, position, system_identifier, timeline)
  values (p_pipeline, p_source, v_slot_name, v_position, v_state.system_identifier, v_state.timeline)
  on conflict (pipeline, source) do update
  set slot_name = excluded.slot_name, position = excluded.position, system_identifier = excluded.system_identifier,
      timeline = excluded.timeline, made_at = clock_timestamp(), read_at = null, lag_bytes = null;
  update etl.source_table t
  set needs_resync = t.copied_at is not null, copy_snapshot = v_snapshot, copy_lsn = null
  where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log';
end
$$;

comment on function etl.make_slot(text, text) is
  'Makes or remakes the slot of a pipeline at a source and marks its log tables for comparison. Raises 55P03, naming what it waits for. Needs the open connection. Internal.';
revoke all on function etl.make_slot(text, text) from public;
