-- Contract: the registry row of a mirrored table, locked; raises 42704 with the registered ones where there is none.
create or replace function etl.find_table(p_source text, p_source_table text)
returns etl.source_table
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_identifier constant text[] := etl.parse_table(p_source_table);
  v_table etl.source_table;
begin
  select t.* into v_table
  from etl.source_table t
  where t.source = p_source and t.source_schema = v_identifier[1] and t.source_name = v_identifier[2]
  for update;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('%s of source %s is not mirrored', p_source_table, p_source),
      hint = coalesce('Mirrored are: ' || (select string_agg(format('%s %I.%I', t.source, t.source_schema, t.source_name), ', ' order by t.source_table_id) from etl.source_table t), 'No table is mirrored yet: call etl.add_table(…);');
  end if;
  return v_table;
end
$$;

comment on function etl.find_table(text, text) is
  'Registry row of a mirrored table, locked. Raises 42704, 22023. Internal.';
revoke all on function etl.find_table(text, text) from public;
