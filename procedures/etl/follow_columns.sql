-- Contract: compares the registered columns of a table with those that it has at the source now, before any row is misread,
-- and does what on_schema_change says: stop raises and names the difference; else the registry, the mirror and the change
-- set are brought up to the source. evolve needs no more where columns were only added (nullable, without a default) or,
-- but for mode log, renamed; everything else, and resync always, has the table compared in full. Columns are told by their
-- number at the source, so a rename is a rename.
create or replace function etl.follow_columns(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation constant text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
  v_differences text;
  v_is_resync boolean;
begin
  select string_agg(d.difference, '; ' order by d.column_position), bool_or(d.is_resync) into v_differences, v_is_resync
  from etl.column_differences(p_table) d;
  if v_differences is null then
    return;
  elsif not exists (select from etl.source_columns((p_table).source, (p_table).source_schema, (p_table).source_name)) then
    raise exception using
      errcode = 'undefined_table',
      message = format('source %s has no table %s any more', (p_table).source, v_relation),
      hint = format('Its mirror stays as it is. If it is gone for good: call etl.remove_table(%L, %L, force => true);', (p_table).source, v_relation);
  elsif (p_table).on_schema_change = 'stop' then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('%s of source %s is not what was registered: %s', v_relation, (p_table).source, v_differences),
      hint = format('To take it over and go on: call etl.accept_columns(%L, %L);', (p_table).source, v_relation);
  end if;
  perform etl.take_over_columns(p_table);
  if v_is_resync or (p_table).on_schema_change = 'resync' then
    update etl.source_table t set needs_resync = true where t.source_table_id = (p_table).source_table_id;
  end if;
  raise notice '% of source % has changed and was taken over: %', v_relation, (p_table).source, v_differences;
end
$$;

comment on function etl.follow_columns(etl.source_table) is
  'Notices and takes over changed columns of a source table, or raises 55000 where on_schema_change is stop. Needs the open connection. Internal.';
revoke all on function etl.follow_columns(etl.source_table) from public;
