-- Contract: forgets a source that no mirrored table uses any more: its server, user mapping, schema and types.
create or replace procedure etl.remove_source(source text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_source constant text := remove_source.source;
  v_tables text;
begin
  if not exists (select from etl.source s where s.source = v_source) then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no source %s', v_source),
      hint = 'The registered ones: select * from etl.source;';
  end if;
  select string_agg(format('%I.%I', t.source_schema, t.source_name), ', ' order by t.source_table_id) into v_tables
  from etl.source_table t
  where t.source = v_source;
  if v_tables is not null then
    raise exception using
      errcode = 'dependent_objects_still_exist',
      message = format('source %s still has mirrored tables: %s', v_source, v_tables),
      hint = format('Remove them first: call etl.remove_table(%L, …);', v_source);
  end if;
  perform etl.disconnect_source(v_source);
  delete from etl.source s where s.source = v_source;
  execute format('drop server %I cascade', v_source);
  execute format('drop schema %I cascade', v_source);
end
$$;

comment on procedure etl.remove_source(text) is
  'Forgets a source without mirrored tables: drops its server, user mapping and schema. Raises 42704 for an unknown source, 2BP01 while tables use it. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_source(text) from public;
