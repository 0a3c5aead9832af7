-- Contract: opens (or reopens) this session's connection to a source and returns its name for dblink.
-- A source over another wrapper has no such connection (null); what is read from it next comes from a new snapshot.
-- Runs as headrace_owner, whose user mapping serves. Errors: whatever the connection says (class 08 or 28).
create or replace function etl.connect_source(p_source text)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || p_source;
begin
  if etl.is_foreign(p_source) then
    perform etl.renew_connection(p_source, false);
    return null;
  end if;
  perform etl.disconnect_source(p_source);
  perform etl.open_connection(v_connection, p_source);
  return v_connection;
end
$$;

comment on function etl.connect_source(text) is
  'Opens this session''s connection to a registered source and returns its dblink name. Raises the connection''s own error (class 08, 28). Internal.';
revoke all on function etl.connect_source(text) from public;
