-- Contract: copies a source table, as the open snapshot shows it, into p_target, masked, and returns the rows read. p_target
-- is a table with the mirror's columns, or with p_batch a change set, each row an insert, or the mirror itself.
-- p_condition limits the rows.
-- A plain table is read in slices (mrr.copy_slices, mrr.read_slices), unless it has large values, of which too many could meet in one slice.
-- All else is read in fetches. Either way memory stays flat and progress is seen.
create or replace function mrr.read_source(
  p_table etl.source_table, p_run_id bigint, p_target text, p_batch bigint default null, p_condition text default '')
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_connection constant text := 'headrace_' || (p_table).source;
  v_relation constant text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
  v_fetch constant integer := (select s.fetch_size from etl.settings s);
  v_since constant timestamptz := clock_timestamp();
  v_source record;
  v_rows bigint;
  v_total bigint := 0::bigint;
begin
  if etl.is_foreign((p_table).source) then
    return mrr.read_foreign(p_table, p_run_id, p_target, p_batch, p_condition);
  end if;
  select r.* into v_source
  from etl_ext.dblink(v_connection, format(
    'select greatest(c.reltuples, 0)::bigint, c.relkind = ''r'' and not c.relhassubclass and a.amname = ''heap'' and current_setting(''server_version_num'')::integer >= 140000'
    ' from pg_class c left join pg_am a on a.oid = c.relam where c.oid = %L::regclass', v_relation))
    r (estimate bigint, has_slices boolean);
  perform etl.show_progress(p_run_id, 'c', v_id, 0, v_source.estimate, v_since);
  if v_source.has_slices and p_condition = '' then
    perform etl.send_query(v_connection, format('lock table %s in access share mode', v_relation));
    perform etl.finish_query(v_connection);
    select r.blocks into v_rows
    from etl_ext.dblink(v_connection, format(
      'select pg_relation_size(c.oid) / current_setting(''block_size'')::integer from pg_class c'
      ' where c.oid = %L::regclass and coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) = 0', v_relation)) r (blocks bigint);
    if found then
      if p_target = format('mrr.%I', (p_table).mirror) then
        v_total := mrr.copy_slices(p_table, p_run_id, p_batch, v_rows);
        if v_total is not null then
          return v_total;
        end if;
      end if;
      return mrr.read_slices(p_table, p_run_id, p_target, p_batch, v_source.estimate, v_rows);
    end if;
  end if;

  perform etl.send_query(v_connection, format('declare headrace_rows no scroll cursor for %s', mrr.select_query(p_table, p_condition, false)));
  perform etl.finish_query(v_connection);
  loop
    perform etl.send_query(v_connection, format('fetch %s from headrace_rows', v_fetch));
    execute mrr.insert_query(p_table, p_target::regclass, p_batch, 1, false) using p_batch;
    get diagnostics v_rows = row_count;
    perform etl.finish_query(v_connection);
    v_total := v_total + v_rows;
    perform etl.show_progress(p_run_id, 'c', v_id, v_total, v_source.estimate, v_since);
    exit when v_rows < v_fetch;
  end loop;
  perform etl.send_query(v_connection, 'close headrace_rows');
  perform etl.finish_query(v_connection);
  return v_total;
end
$$;

comment on function mrr.read_source(etl.source_table, bigint, text, bigint, text) is
  'Copies a source table, masked, into the table p_target and returns the rows read. p_batch: the target is a change set or the mirror; p_condition limits the rows. Needs the open snapshot. Internal.';
revoke all on function mrr.read_source(etl.source_table, bigint, text, bigint, text) from public;
