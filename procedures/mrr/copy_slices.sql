-- requires: etl.describe_mirror, etl.placed_hash, mrr.is_helper, mrr.is_replaceable, mrr.read_slice, mrr.rows_query
-- Contract: fills the empty mirror of a table without a key (mrr.begin_copy) with a source table of p_blocks blocks, as the open snapshot shows it,
-- and returns the rows read. Several processes read, each every so many slices over a connection of its own that shares the snapshot; this one writes.
-- Null, and nothing done, where that cannot be: helpers are not allowed or not to be had, the source has no connection for each, or the mirror has
-- something of others (mrr.is_replaceable).
-- Only for CREATE TABLE AS do others read, so the mirror is made anew; privileges on it are kept. It writes rows at less cost, too. What it lacks
-- is made afterwards: the index by mrr.make_mirror_index(), as after every copy.
-- Rows are numbered by their slice, with room for as many as it can have, as a sequence cannot be shared.
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
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := format('mrr.%I', (p_table).mirror);
  v_connection constant text := 'headrace_' || (p_table).source;
  v_slices constant bigint := (p_blocks + c_slice - 1) / c_slice;
  v_allowed constant integer := current_setting('max_parallel_workers_per_gather')::integer;
  v_parts constant integer := least(greatest(v_allowed, 2), 4); -- more would wait for the one that writes
  v_number constant bigint := coalesce(pg_sequence_last_value(etl.number_sequence(v_mirror::regclass)), 0);
  v_grants text;
  v_source record;
  v_query text;
  v_rows bigint;
begin
  -- what is executed is put together from parts that format() has quoted: @plpgsql_check_options: security_warnings = off
  if v_allowed = 0 or v_slices < 2 * v_parts or not mrr.is_replaceable(v_mirror::regclass) then
    return null;
  end if;
  begin
    select r.* into strict v_source
    from etl_ext.dblink(v_connection, 'select pg_export_snapshot(), current_setting(''block_size'')::bigint / 28') r (snapshot text, block_rows bigint);
    perform etl.open_connection(format('headrace2_%s_%s', n, (p_table).source), (p_table).source) from generate_series(1, v_parts) n;
  exception when others then
    v_source := null;
  end;
  perform etl_ext.dblink_disconnect(c) from unnest(etl_ext.dblink_get_connections()) c where c ~ '^headrace2_';
  if v_source is null then
    return null;
  end if;

  select string_agg(
    format('select %s, $1 as _hr_batch, etl.placed_hash(%s, hashtextextended(%s, 0)) as _hr_hash, c._hr_id from (%s) c',
      etl.column_list(v_id, 'c.%1$I'), v_number, etl.row_image(v_id, 'c'),
      mrr.rows_query(p_table,
        format('generate_series(%s::bigint, %s, %s) n (slice) cross join lateral mrr.read_slice(%L, %L, %L, %L, %s, %s, n.slice, %s, %s, %s, mrr.is_helper(%s))', p.first, p.last, v_parts,
          (p_table).source, v_source.snapshot, mrr.select_query(p_table, 'ctid >= $1 and ctid < $2', true), mrr.answer_columns(p_table, true), p_run_id, p.first, p.first, p.last, v_parts, pg_backend_pid()),
        true, format('%s + n.slice * %s', v_number, c_slice * v_source.block_rows))),
    ' union all ')
    into v_query
  from (select n as first, v_slices - 1 - (v_slices - 1 - n) % v_parts as last from generate_series(0, v_parts - 1) n) p;
  select string_agg(format('grant %s on %s to %s%s', a.privilege_type, v_mirror, case a.grantee when 0 then 'public' else a.grantee::regrole::text end,
                           case when a.is_grantable then ' with grant option' else '' end), '; ')
    into v_grants
  from pg_class c cross join aclexplode(c.relacl) a where c.oid = v_mirror::regclass and a.grantee <> c.relowner;

  begin
    perform set_config('max_parallel_workers_per_gather', v_parts::text, true);
    execute format('drop table %s', v_mirror::regclass);
    execute format('create table %s as %s', v_mirror, v_query) using p_batch;
    get diagnostics v_rows = row_count;
    perform set_config('max_parallel_workers_per_gather', v_allowed::text, true);
    execute format('alter table %1$s alter _hr_batch set not null, alter _hr_hash set not null, alter _hr_id set not null,'
                   ' alter _hr_id add generated always as identity (cache 1000)', v_mirror);
    perform setval(etl.number_sequence(v_mirror::regclass), v_number + v_slices * c_slice * v_source.block_rows);
    perform etl.describe_mirror(p_table);
    if v_grants is not null then
      execute v_grants;
    end if;
    return v_rows;
  exception when sqlstate 'HR000' then
    return null;
  end;
end
$$;

comment on function mrr.copy_slices(etl.source_table, bigint, bigint, bigint) is
  'Fills the empty mirror of a table without a key of p_blocks blocks, which several processes read, and returns the rows read; null where that cannot be. Needs the open snapshot. Raises the connection''s own error (class 08, 28). Internal.';
revoke all on function mrr.copy_slices(etl.source_table, bigint, bigint, bigint) from public;
