-- Contract: opens a snapshot at the source and applies to the mirror what the slot still holds of the table and the
-- snapshot already saw; the caller rolls it back.
create or replace function mrr.apply_seen_changes(p_table etl.source_table, p_run_id bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slot etl.slot;
  v_snapshot text;
  v_batch bigint;
  v_fence pg_lsn;
  v_changes record;
begin
  perform mrr.settle_copies((p_table).pipeline);
  insert into etl.batch (pipeline, captured_at) values ((p_table).pipeline, clock_timestamp()) returning batch_id into v_batch;
  perform etl.open_snapshot((p_table).source, v_batch, format('%I.%I', (p_table).source_schema, (p_table).source_name));
  select s.* into v_slot from etl.slot s where s.pipeline = (p_table).pipeline and s.source = (p_table).source;
  if (p_table).capture <> 'log' or not found then
    return;
  end if;
  select s.snapshot into strict v_snapshot from etl.batch_source s where s.batch_id = v_batch;
  v_fence := greatest(etl.settled_position((p_table).source), v_slot.position);
  perform mrr.read_slot((p_table).source, v_slot.slot_name, v_slot.position, v_fence, p_run_id, (p_table).source_table_id, 2147483647);
  delete from pg_temp.headrace_stream s where s.tag <> 'R' and not mrr.was_seen(s.xid, v_snapshot);
  select c.* into v_changes from mrr.collect_changes(p_table, v_batch) c;
  if v_changes.is_truncated then
    execute format('delete from mrr.%I', (p_table).mirror);
  end if;
  if (p_table).key_columns is null then
    perform mrr.net_keyless(p_table, v_batch);
  else
    perform mrr.net_keyed(p_table, v_batch, v_changes.is_truncated);
  end if;
  perform mrr.apply_changes(p_table, v_batch);
end
$$;

comment on function mrr.apply_seen_changes(etl.source_table, bigint) is
  'Opens a snapshot and brings the mirror to it for a comparison; to be rolled back. Needs the open connection. Internal.';
revoke all on function mrr.apply_seen_changes(etl.source_table, bigint) from public;
