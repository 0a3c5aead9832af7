-- Contract: ends the transactions at the sources that a batch was read in, and keeps the connections for the rest of the run.
create or replace function etl.close_snapshots()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection text;
begin
  foreach v_connection in array coalesce(etl_ext.dblink_get_connections(), '{}') loop
    if v_connection like 'headrace\_%' then
      perform etl_ext.dblink_exec(v_connection, 'commit');
    end if;
  end loop;
end
$$;

comment on function etl.close_snapshots() is
  'Ends the open transactions at the sources; the connections stay. Internal.';
revoke all on function etl.close_snapshots() from public;
