-- Contract: sends one statement over a source connection and waits for its answer without holding off a cancel. The
-- caller fetches with dblink_get_result() and then calls etl.finish_query().
create or replace function etl.send_query(p_connection text, p_sql text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform etl.post_query(p_connection, p_sql);
  perform etl.await_answer(p_connection);
end
$$;

comment on function etl.send_query(text, text) is
  'Sends p_sql over the dblink connection p_connection and waits, cancellable, until its result can be fetched. Raises 08006 where the connection is broken. Internal.';
revoke all on function etl.send_query(text, text) from public;
