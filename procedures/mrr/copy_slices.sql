-- requires: etl.describe_mirror, mrr.is_replaceable, mrr.privileges, mrr.slices_query
-- Contract: fills the empty mirror of a table without a key (mrr.begin_copy) with a source table of p_blocks blocks, as the open snapshot shows it,
-- and returns the rows read. Several processes read, each every so many slices over a connection of its own that shares the snapshot; this one writes.
-- Null, and nothing done, where that cannot be: helpers are not allowed or not to be had, the source has no connection for each, or the mirror has
-- something of others (mrr.is_replaceable).
-- Only for CREATE TABLE AS do others read, so the mirror is made anew; privileges on it are kept. It writes rows at less cost, too. What it lacks
-- is made afterwards: the index by mrr.make_mirror_index(), as after every copy.
-- The connection that has the snapshot waits meanwhile, longer than the source may let a transaction be idle; that is lifted for so long.
create or replace function mrr.copy_slices(p_table etl.source_table, p_run_id bigint, p_batch bigint, p_blocks bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set parallel_leader_participation = off
set parallel_setup_cost = 0
set parallel_tuple_cost = 0
as $$
declare
  c_slice constant bigint := 64::bigint; -- blocks, as in mrr.read_slice
  v_mirror constant text := format('mrr.%I', (p_table).mirror);
  v_connection constant text := 'headrace_' || (p_table).source;
  v_since constant timestamptz := clock_timestamp();
  v_slices constant bigint := (p_blocks + c_slice - 1) / c_slice;
  v_allowed constant integer := current_setting('max_parallel_workers_per_gather')::integer;
  v_parts constant integer := least(greatest(v_allowed, 2), 4, v_slices / 2)::integer; -- more would wait for the one that writes
  v_privileges constant text := mrr.privileges(v_mirror::regclass);
  v_snapshot text;
  v_room bigint;
  v_idle_timeout text;
  v_query text;
  v_rows bigint;
begin
  -- what is executed is put together from parts that others have quoted: @plpgsql_check_options: security_warnings = off
  if v_allowed = 0 or v_parts < 2 or not mrr.is_replaceable(v_mirror::regclass) then
    return null;
  end if;
  begin
    select r.snapshot, c_slice * r.block_rows, r.idle_timeout into strict v_snapshot, v_room, v_idle_timeout
    from etl_ext.dblink(v_connection, 'select pg_export_snapshot(), current_setting(''block_size'')::bigint / 28,'
                                      ' current_setting(''idle_in_transaction_session_timeout''), set_config(''idle_in_transaction_session_timeout'', ''0'', true)')
      r (snapshot text, block_rows bigint, idle_timeout text, lifted text);
    perform etl.open_connection(format('headrace2_%s_%s', n, (p_table).source), (p_table).source) from generate_series(1, v_parts) n;
    v_query := mrr.slices_query(p_table, p_run_id, v_snapshot, v_parts, v_slices, v_room);
  exception when others then
    null; -- one process reads
  end;
  perform etl_ext.dblink_disconnect(c) from unnest(etl_ext.dblink_get_connections()) c where c ~ '^headrace2_';

  begin
    if v_query is not null then
      perform set_config('max_parallel_workers_per_gather', v_parts::text, true);
      execute format('drop table %s', v_mirror::regclass);
      execute format('create table %s as %s', v_mirror, v_query) using p_batch;
      get diagnostics v_rows = row_count;
      perform set_config('max_parallel_workers_per_gather', v_allowed::text, true);
      perform etl.show_progress(p_run_id, 'c', (p_table).source_table_id, v_rows, v_rows, v_since);
      execute format('alter table %1$s alter _hr_batch set not null, alter _hr_hash set not null, alter _hr_id set not null,'
                     ' alter _hr_id add generated always as identity (cache 1000)', v_mirror);
      perform setval(etl.number_sequence(v_mirror::regclass), v_slices * v_room);
      perform etl.describe_mirror(p_table);
      if v_privileges is not null then
        execute v_privileges;
      end if;
    end if;
  exception when sqlstate 'HR000' or sqlclient_unable_to_establish_sqlconnection or dependent_objects_still_exist then
    v_rows := null;
  end;
  if v_idle_timeout is not null then
    perform etl_ext.dblink_exec(v_connection, format('set local idle_in_transaction_session_timeout = %L', v_idle_timeout));
  end if;
  return v_rows;
end
$$;

comment on function mrr.copy_slices(etl.source_table, bigint, bigint, bigint) is
  'Fills the empty mirror of a table without a key of p_blocks blocks, which several processes read, and returns the rows read; null where that cannot be. Needs the open snapshot. Raises the connection''s own error (class 08, 28). Internal.';
revoke all on function mrr.copy_slices(etl.source_table, bigint, bigint, bigint) from public;
