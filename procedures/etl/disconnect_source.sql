-- Contract: closes this session's connection to a source, or to all of them (null), also one that an earlier, cancelled
-- call left open. Closing what is not open is no error. What is open at sources over other wrappers is ended for one that is
-- named; for those of a pipeline see etl.leave_sources().
create or replace function etl.disconnect_source(p_source text default null)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection text;
begin
  foreach v_connection in array coalesce(etl_ext.dblink_get_connections(), '{}') loop
    if v_connection in ('headrace_' || p_source, 'headrace2_' || p_source) or p_source is null and v_connection ~ '^headrace2?_' then
      perform etl_ext.dblink_disconnect(v_connection);
    end if;
  end loop;
  if etl.is_foreign(p_source) then
    perform etl.renew_connection(p_source, true);
  end if;
end
$$;

comment on function etl.disconnect_source(text) is
  'Closes this session''s connection to one source, or to all with null. Internal.';
revoke all on function etl.disconnect_source(text) from public;
