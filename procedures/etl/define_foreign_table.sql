-- requires: etl.foreign_definition
-- Contract: makes, or makes anew, the foreign table that a table of a source over another wrapper is read through: without columns
-- that are dropped by a mask, save from a file, which is read whole; with masked ones, because what masks them does so
-- on arrival, so nobody but headrace_owner may read it. Columns whose type cannot be held are left out, and
-- etl.register_columns() names them. Options stay, unless given.
create or replace function etl.define_foreign_table(p_table etl.source_table, p_columns json default null, p_options jsonb default null)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_fdw constant text := (select s.fdw from etl.source s where s.source = (p_table).source);
  v_made constant text := format('%I.%I', (p_table).source, (p_table).mirror);
  v_own constant text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
  v_options jsonb;
  v_unknown text;
begin
  select jsonb_object_agg(o.option_name, o.option_value) into v_options
  from pg_foreign_table t
  cross join pg_options_to_table(t.ftoptions) o
  where t.ftrelid = case when etl.is_foreign_table_of(v_made, (p_table).source) then to_regclass(v_made)
                         when etl.is_foreign_table_of(v_own, (p_table).source) then to_regclass(v_own) end;
  v_options := coalesce(v_options, case v_fdw
    when 'mysql_fdw' then jsonb_build_object('dbname', (p_table).source_schema, 'table_name', (p_table).source_name)
    when 'tds_fdw' then jsonb_build_object('schema_name', (p_table).source_schema, 'table_name', (p_table).source_name)
    when 'oracle_fdw' then jsonb_build_object('schema', (p_table).source_schema, 'table', (p_table).source_name)
    when 'file_fdw' then '{"format": "csv", "header": "match"}' end, '{}') || coalesce(p_options, '{}');

  create temporary table headrace_definition on commit drop as
  select d.* from etl.foreign_definition(p_table, p_columns, v_options) d;
  select string_agg(k.name, ', ' order by k.name) into v_unknown
  from json_object_keys(p_columns) k (name)
  where not exists (select from pg_temp.headrace_definition d where d.column_name = k.name);
  if v_unknown is not null then
    raise exception using
      errcode = 'undefined_column',
      message = format('%s of source %s has no columns: %s', v_own, (p_table).source, v_unknown),
      hint = 'Name them in columns as they are written at the source.';
  end if;
  if v_options = '{}' then -- imported
    select coalesce(jsonb_object_agg(o.option_name, o.option_value), '{}') into v_options
    from pg_foreign_table t cross join pg_options_to_table(t.ftoptions) o where t.ftrelid = to_regclass(v_made);
  end if;
  if not exists (select from pg_temp.headrace_definition d) then
    raise exception using
      errcode = 'undefined_table',
      message = format('source %s has no table %s', (p_table).source, v_own),
      hint = 'Check the name, and the quotes where it is not all lower case; and that the source''s user may read the table.';
  end if;
  if to_regclass(format('%I.%I', (p_table).source, (p_table).mirror)) is not null then
    execute format('drop foreign table %I.%I', (p_table).source, (p_table).mirror);
  end if;
  execute format('create foreign table %I.%I (%s) server %1$I%4$s', (p_table).source, (p_table).mirror, array_to_string(array(
    select format('%I %s%s', d.column_name, case when d.type_name::regtype is not null then d.type_name end, -- the cast refuses what is not one type
                  coalesce(' options (' || d.options || ')', ''))
    from pg_temp.headrace_definition d
    left join etl.source_column c on c.source_table_id = (p_table).source_table_id and c.column_name = d.column_name
    where d.type_name is not null and (c.mask is distinct from 'drop' or v_fdw = 'file_fdw')
    order by d.ordinal), ', '), coalesce(' options (' || etl.option_list(v_options) || ')', ''));
  drop table pg_temp.headrace_definition;
  execute format('comment on foreign table %I.%I is %L', (p_table).source, (p_table).mirror,
                 format('Foreign table for %s of source %s, masked on arrival; for headrace_owner alone.', v_own, (p_table).source));
  execute format('explain select from %I.%I', (p_table).source, (p_table).mirror); -- connects, and reads nothing
exception when fdw_error then
  raise exception using
    errcode = etl.source_sqlstate(sqlstate, sqlerrm),
    message = format('%s of source %s: %s', v_own, (p_table).source, sqlerrm),
    hint = 'Check the source''s options and the table''s; a table whose columns the wrapper does not tell needs columns => ''{"id": "integer", …}''.';
end
$$;

comment on function etl.define_foreign_table(etl.source_table, json, jsonb) is
  'Makes the foreign table that a table of a source over another wrapper is read through. p_columns: types by name; p_options: of the foreign table. Raises 42703, or what the wrapper raises. Internal.';
revoke all on function etl.define_foreign_table(etl.source_table, json, jsonb) from public;
