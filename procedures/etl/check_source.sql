-- requires: etl.check_foreign
-- Contract: says in plain words what a source lacks for capture by log, or over another wrapper than postgres_fdw for capture at all, for the source as a whole and for one table or all
-- log tables registered there: one row per finding, errors first, each with what to do about it, as SQL where that is
-- possible. No row: all is well. Asks the source; changes nothing.
create or replace function etl.check_source(source text, source_table text default null)
returns table (severity text, subject text, finding text, remedy text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_source constant text := check_source.source;
  v_identifier text[];
  v_table record;
begin
  if not exists (select from etl.source s where s.source = v_source) then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no source %s', v_source),
      hint = 'The registered ones: select * from etl.source;';
  end if;
  perform etl.connect_source(v_source);
  if etl.is_foreign(v_source) then
    return query select f.* from etl.check_foreign(v_source, case when check_source.source_table is not null then etl.parse_table(check_source.source_table) end) f order by f.severity;
    perform etl.disconnect_source(v_source);
    return;
  end if;
  return query select f.* from etl.check_server(v_source) f;
  for v_table in
    select t.source_schema, t.source_name, t.pipeline, t.key_columns, t.inserts_only
    from etl.source_table t
    where t.source = v_source and t.capture = 'log' and check_source.source_table is null
  loop
    return query select f.* from etl.check_table(v_source, v_table.source_schema, v_table.source_name, v_table.pipeline, v_table.key_columns, v_table.inserts_only) f;
  end loop;
  if check_source.source_table is not null then
    v_identifier := etl.parse_table(check_source.source_table);
    select t.pipeline, t.key_columns, t.inserts_only into v_table
    from etl.source_table t where t.source = v_source and t.source_schema = v_identifier[1] and t.source_name = v_identifier[2];
    return query select f.* from etl.check_table(v_source, v_identifier[1], v_identifier[2], v_table.pipeline, v_table.key_columns, coalesce(v_table.inserts_only, false)) f;
  end if;
  perform etl.disconnect_source(v_source);
end
$$;

comment on function etl.check_source(text, text) is
  'What a source lacks for capture by log, or over another wrapper than postgres_fdw for capture at all: severity error or warning, subject, finding, remedy. source_table: one table, registered or not; by default all log tables. Raises 42704, or the connection''s own error. For headrace_monitor.';
revoke all on function etl.check_source(text, text) from public;
grant execute on function etl.check_source(text, text) to headrace_monitor;
