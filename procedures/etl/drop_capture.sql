-- Contract: takes a table that is being removed out of the source's publication, and drops publication and slot with the last
-- log table of its pipeline there, as far as they are ours and the role may. What cannot be dropped, because the source
-- is out of reach or the role does not own it, is named in a warning with the statement for its DBA.
create or replace function etl.drop_capture(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || (p_table).source;
  v_name constant text := etl.slot_name((p_table).pipeline);
  v_publication constant text := v_name || case when (p_table).inserts_only then '_inserts' else '' end;
  v_is_last constant boolean := not exists (
    select from etl.source_table t
    where t.pipeline = (p_table).pipeline and t.source = (p_table).source and t.capture = 'log' and t.source_table_id <> (p_table).source_table_id);
  v_statement text;
begin
  if (p_table).capture <> 'log' then
    return;
  end if;
  if v_is_last then
    delete from etl.slot s where s.pipeline = (p_table).pipeline and s.source = (p_table).source;
  end if;
  begin
    v_statement := format('select pg_drop_replication_slot(%L);', v_name);
    perform etl.connect_source((p_table).source);
    perform from etl_ext.dblink(v_connection, format(
      'select pg_drop_replication_slot(slot_name)::text from pg_replication_slots where slot_name = %L and %L', v_name, v_is_last)) r (ok text);
    v_statement := case when v_is_last then format('drop publication if exists %I, %I;', v_name, v_name || '_inserts')
                        else format('alter publication %I drop table %I.%I;', v_publication, (p_table).source_schema, (p_table).source_name) end;
    perform etl_ext.dblink_exec(v_connection, 'set default_transaction_read_only = off'); -- the role's own default
    perform etl_ext.dblink_exec(v_connection, v_statement);
  exception when others then
    raise warning 'source % still has what captured %.%: %', (p_table).source, (p_table).source_schema, (p_table).source_name, sqlerrm
      using hint = format('At the source, as its DBA: %s', v_statement);
  end;
  perform etl.disconnect_source((p_table).source);
end
$$;

comment on function etl.drop_capture(etl.source_table) is
  'Drops what a log table that is being removed has at its source; warns with the statement for the DBA where it may not. Internal.';
revoke all on function etl.drop_capture(etl.source_table) from public;
