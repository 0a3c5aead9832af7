-- Contract: sends one statement over a source connection and waits for its answer without holding off a cancel: dblink's
-- own calls block in libpq, which PostgreSQL 15 and 16 cannot interrupt. The caller fetches with dblink_get_result() and
-- then calls etl.finish_query().
-- Each look takes in one buffer of the answer, some 16 kB, so many looks go between two pauses; pauses lengthen slowly, so a
-- fast source is not slowed down and a blocked one costs next to nothing.
create or replace function etl.send_query(p_connection text, p_sql text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pause double precision := 0.001::double precision;
  v_looks integer := 0;
begin
  if etl_ext.dblink_send_query(p_connection, p_sql) <> 1 then
    raise exception using
      errcode = 'connection_failure',
      message = format('the connection %s to the source is broken: %s', p_connection, etl_ext.dblink_error_message(p_connection)),
      hint = 'The next run connects anew. Check that the source is up and reachable.';
  end if;
  while etl_ext.dblink_is_busy(p_connection) = 1 loop
    v_looks := v_looks + 1;
    if v_looks % 64 = 0 then
      perform pg_sleep(v_pause);
      v_pause := least(v_pause * 1.02, 0.02);
    end if;
  end loop;
end
$$;

comment on function etl.send_query(text, text) is
  'Sends p_sql over the dblink connection p_connection and waits, cancellable, until its result can be fetched. Raises 08006 where the connection is broken. Internal.';
revoke all on function etl.send_query(text, text) from public;
