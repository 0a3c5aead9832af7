-- Contract: refuses to read a source table whose registered columns are gone, renamed or of another type, before any row is
-- misread. Columns added since are left alone.
create or replace function etl.check_columns(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation constant text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
  v_differences text;
begin
  select string_agg(case when n.column_name is null then format('column %I is gone', c.column_name)
                         else format('column %I is now %s, it was %s', c.column_name, n.source_type, c.source_type) end, '; ' order by c.position)
  into v_differences
  from etl.source_column c
  left join etl.source_columns((p_table).source, (p_table).source_schema, (p_table).source_name) n
    on n.column_position = c.position and n.column_name = c.column_name
  where c.source_table_id = (p_table).source_table_id and c.mask is distinct from 'drop' and n.source_type is distinct from c.source_type;
  if v_differences is not null then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('%s of source %s is not what was registered: %s', v_relation, (p_table).source, v_differences),
      hint = format('Register it anew: call etl.remove_table(%1$L, %2$L, force => true); call etl.add_table(%1$L, %2$L, …);', (p_table).source, v_relation);
  end if;
end
$$;

comment on function etl.check_columns(etl.source_table) is
  'Raises 55000 where the registered columns of a source table are gone or of another type. Needs the open connection. Internal.';
revoke all on function etl.check_columns(etl.source_table) from public;
