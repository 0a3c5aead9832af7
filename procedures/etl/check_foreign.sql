-- requires: etl.column_differences
-- Contract: what etl.check_source() says of a source over another wrapper: what its tables cannot promise, and what is wrong with
-- those registered, or with the one table that is named, registered or not.
create or replace function etl.check_foreign(p_source text, p_identifier text[] default null)
returns table (severity text, subject text, finding text, remedy text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fdw constant text := (select s.fdw from etl.source s where s.source = p_source);
  v_table etl.source_table;
begin
  if v_fdw = 'mysql_fdw' then
    begin
      execute format('select from %I._hr_columns limit 0', p_source);
    exception when fdw_error then
      return query values ('error', 'source ' || p_source, sqlerrm, 'Check that it is up and reachable, and its options, user and password: call etl.add_source(…).');
      return;
    end;
    if p_identifier is not null then
      return query
        select 'error', format('%I.%I', p_identifier[1], p_identifier[2]), format('column %I has type %s, which cannot be held here', m.column_name, m.source_type),
               format('Leave it out: drop_columns => ''{%I}''; or name a type that takes it: columns => ''{%s: "bytea"}''.', m.column_name, to_json(m.column_name))
        from etl.mysql_columns(p_source, p_identifier[1], p_identifier[2]) m
        where etl.mysql_type(m.source_type) is null and not exists (
          select from etl.source_column c join etl.source_table t on t.source_table_id = c.source_table_id
          where t.source = p_source and t.source_schema = p_identifier[1] and t.source_name = p_identifier[2] and c.column_name = m.column_name);
    end if;
  else
    return query values ('warning', 'source ' || p_source, format('%s gives no snapshot: its tables are read one after the other, each as it is then', v_fdw),
      'Nothing has to be done: what one table has and another not yet is settled by the next run. Tables that must agree at every moment need one file, or a source with snapshots.');
  end if;
  for v_table in
    select t.* from etl.source_table t
    where t.source = p_source and (p_identifier is null or t.source_schema = p_identifier[1] and t.source_name = p_identifier[2])
    order by t.source_table_id
  loop
    return query
      select 'warning', format('%I.%I', v_table.source_schema, v_table.source_name), d.difference,
             case v_table.on_schema_change when 'stop' then format('call etl.accept_columns(%L, %L);', p_source, format('%I.%I', v_table.source_schema, v_table.source_name))
                                           else 'The next run takes it over.' end
      from etl.column_differences(v_table) d;
    begin
      execute format('select from %I.%I limit 1', p_source, v_table.mirror);
    exception when others then
      severity := 'error';
      subject := format('%I.%I', v_table.source_schema, v_table.source_name);
      finding := 'it cannot be read: ' || sqlerrm;
      remedy := 'Mend the source, or change its options: call etl.add_source(…). If the table is gone for good: call etl.remove_table(…, force => true);';
      return next;
    end;
  end loop;
end
$$;

comment on function etl.check_foreign(text, text[]) is
  'What a source over another wrapper cannot promise, and what is wrong with its tables. Internal.';
revoke all on function etl.check_foreign(text, text[]) from public;
