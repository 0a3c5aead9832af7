-- Contract: copies a source table, as the open snapshot shows it, into p_target, which has the mirror's columns; masks are
-- applied on the way, to the text form that the type itself writes (a cast to text writes some, as boolean, otherwise, and
-- the log does not), so unmasked values are never stored here. With p_batch the target is a change set, and each row an insert.
-- p_condition limits the rows. Returns the rows read. Reads in fetches, so memory stays flat and progress is seen.
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
  v_insert text;
  v_expected bigint;
  v_rows bigint;
  v_total bigint := 0::bigint;
begin
  if etl.is_foreign((p_table).source) then
    return mrr.read_foreign(p_table, p_run_id, p_target, p_batch, p_condition);
  end if;
  select r.estimate into v_expected
  from etl_ext.dblink(v_connection, format('select greatest(reltuples, 0)::bigint from pg_class where oid = %L::regclass', v_relation))
    r (estimate bigint);

  v_insert := format('insert into %s (%s%s) select %s%s from etl_ext.dblink_get_result(%L) r (%s)',
    p_target::regclass, etl.column_list(v_id, '%1$I'), case when p_batch is null then '' else ', _hr_batch, _hr_op' end,
    array_to_string(array(
      select format(case when c.mask = 'hash' then 'etl.mask_hash(r.%I)' else 'r.%I' end, c.column_name)
      from etl.source_column c where c.source_table_id = v_id and c.mask is distinct from 'drop' order by c.position), ', '),
    case when p_batch is null then '' else ', $1, ''I''' end, v_connection, etl.column_list(v_id, '%1$I %2$s'));

  perform etl.show_progress(p_run_id, 'c', v_id, 0, v_expected, v_since);
  perform etl.send_query(v_connection, format('declare headrace_rows no scroll cursor for select %s from %s%s',
    (select string_agg(format(case c.mask when 'hash' then 'case when %1$I is not null then format(''%%s'', %1$I) end'
                                  when 'truncate' then 'case when %1$I is not null then left(format(''%%s'', %1$I), %2$s) end'
                                  else '%1$I' end,
                              c.column_name, c.mask_length), ', ' order by c.position)
     from etl.source_column c where c.source_table_id = v_id and c.mask is distinct from 'drop'),
    v_relation, coalesce(' where ' || nullif(p_condition, ''), '')));
  perform etl.finish_query(v_connection);
  loop
    perform etl.send_query(v_connection, format('fetch %s from headrace_rows', v_fetch));
    execute v_insert using p_batch;
    get diagnostics v_rows = row_count;
    perform etl.finish_query(v_connection);
    v_total := v_total + v_rows;
    perform etl.show_progress(p_run_id, 'c', v_id, v_total, v_expected, v_since);
    exit when v_rows < v_fetch;
  end loop;
  perform etl.send_query(v_connection, 'close headrace_rows');
  perform etl.finish_query(v_connection);
  return v_total;
end
$$;

comment on function mrr.read_source(etl.source_table, bigint, text, bigint, text) is
  'Copies a source table, masked, into the table p_target in fetches of etl.settings.fetch_size and returns the rows read. p_batch: the target is a change set; p_condition limits the rows. Internal.';
revoke all on function mrr.read_source(etl.source_table, bigint, text, bigint, text) from public;
