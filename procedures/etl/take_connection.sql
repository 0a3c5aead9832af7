-- requires: etl.connect_source
-- Contract: this session's connection to a source: the one that an earlier phase of the same run left open, if it still
-- answers, else a new one. A phase that fails closes its connections, so what is open is outside a transaction.
create or replace function etl.take_connection(p_source text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if 'headrace_' || p_source = any (etl_ext.dblink_get_connections()) then
    begin
      perform from etl_ext.dblink('headrace_' || p_source, 'select true') r (is_there boolean);
      return;
    exception when others then
      null; -- it is made anew
    end;
  end if;
  perform etl.connect_source(p_source);
end
$$;

comment on function etl.take_connection(text) is
  'Takes this session''s open connection to a source, or opens one. Raises the connection''s own error (class 08, 28). Internal.';
revoke all on function etl.take_connection(text) from public;
