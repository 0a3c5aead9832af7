-- Contract: copies a source table, as the open snapshot shows it, into p_target (mrr.insert_query) slice by slice of
-- p_blocks blocks, and returns the rows read. Two connections share the snapshot and take turns, so the source works
-- on one slice while the one before it is written here; if there is no second one to be had, one does.
-- The table is locked against being rewritten, and its rows in the snapshot lie in the blocks that it has now.
create or replace function mrr.read_slices(
  p_table etl.source_table, p_run_id bigint, p_target text, p_batch bigint, p_expected bigint, p_blocks bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  c_slice constant integer := 64; -- blocks, half a megabyte: some thousand rows to an array
  v_connections text[] := array['headrace_' || (p_table).source, 'headrace2_' || (p_table).source];
  v_since constant timestamptz := clock_timestamp();
  v_inserts text[] := array[]::text[];
  v_slices constant integer := ceil(p_blocks::numeric / c_slice)::integer;
  v_snapshot text;
  v_turn integer;
  v_rows bigint;
  v_total bigint := 0::bigint;
begin
  if v_slices > 3 then
    begin
      select r.snapshot into strict v_snapshot from etl_ext.dblink(v_connections[1], 'select pg_export_snapshot()') r (snapshot text);
      perform etl.open_connection(v_connections[2], (p_table).source);
      perform etl_ext.dblink_exec(v_connections[2], format('begin isolation level repeatable read read only; set transaction snapshot %L', v_snapshot));
    exception when others then
      perform etl_ext.dblink_disconnect(c) from unnest(etl_ext.dblink_get_connections()) c where c = v_connections[2];
      v_connections := v_connections[:1];
    end;
  else
    v_connections := v_connections[:1];
  end if;

  for v_slice in 0..(v_slices - 1 + cardinality(v_connections)) loop
    v_turn := 1 + v_slice % cardinality(v_connections);
    if v_slice < cardinality(v_connections) then
      v_inserts := array_append(v_inserts, mrr.insert_query(p_table, p_target::regclass, p_batch, v_turn, true));
    else
      perform etl.await_answer(v_connections[v_turn]);
      execute v_inserts[v_turn] using p_batch;
      get diagnostics v_rows = row_count;
      perform etl.finish_query(v_connections[v_turn]);
      v_total := v_total + v_rows;
      perform etl.show_progress(p_run_id, 'c', (p_table).source_table_id, v_total, p_expected, v_since);
    end if;
    if v_slice < v_slices then
      perform etl.post_query(v_connections[v_turn], mrr.select_query(p_table,
        format('ctid >= ''(%s,0)'' and ctid < ''(%s,0)''', v_slice::bigint * c_slice, (v_slice + 1)::bigint * c_slice), true));
    end if;
  end loop;
  if cardinality(v_connections) > 1 then
    perform etl_ext.dblink_disconnect(v_connections[2]);
  end if;
  return v_total;
end
$$;

comment on function mrr.read_slices(etl.source_table, bigint, text, bigint, bigint, bigint) is
  'Copies a source table of p_blocks blocks, masked, into p_target in slices and returns the rows read. Needs the open snapshot. Internal.';
revoke all on function mrr.read_slices(etl.source_table, bigint, text, bigint, bigint, bigint) from public;
