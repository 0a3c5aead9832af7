-- Contract: sends a statement, or several, over a source connection and does not wait for its answer.
create or replace function etl.post_query(p_connection text, p_sql text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if etl_ext.dblink_send_query(p_connection, p_sql) <> 1 then
    raise exception using
      errcode = 'connection_failure',
      message = format('the connection %s to the source is broken: %s', p_connection, etl_ext.dblink_error_message(p_connection)),
      hint = 'The next run connects anew. Check that the source is up and reachable.';
  end if;
end
$$;

comment on function etl.post_query(text, text) is
  'Sends p_sql over the dblink connection p_connection without waiting. Raises 08006 where the connection is broken. Internal.';
revoke all on function etl.post_query(text, text) from public;
