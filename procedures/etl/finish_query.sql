-- Contract: takes what is left of the answer to etl.send_query(), so that the connection can be used again. For a
-- command without rows this is the whole answer; an error of the source is raised here. No row comes both from an answer
-- without rows and from the end of all answers, so one more is taken; taking too many does no harm.
create or replace function etl.finish_query(p_connection text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from etl_ext.dblink_get_result(p_connection) r (status text);
  while found loop
    perform from etl_ext.dblink_get_result(p_connection) r (status text);
  end loop;
  perform from etl_ext.dblink_get_result(p_connection) r (status text);
end
$$;

comment on function etl.finish_query(text) is
  'Takes the rest of an answer from the dblink connection p_connection and raises the source''s error if there is one. Internal.';
revoke all on function etl.finish_query(text) from public;
