-- requires: etl.show_share
-- Contract: an answer (mrr.select_query) with the rows of one slice of a source table, of 64 blocks. A process of mrr.copy_slices calls it for all slices of
-- its part, from p_first on each p_step-th up to p_last: the first call opens a connection with the snapshot, the last one closes it. The next
-- slice is asked for before this one is returned, so the source works on it meanwhile.
-- p_query has the slice's first block as $1 and the one behind its last as $2, p_columns are the columns of its answer.
-- Invariant: it does nothing that a process that helps may not do: write, take a number of a sequence, change a setting or begin a
-- subtransaction, which each EXCEPTION block does. Only such a process may call it: the one that writes cannot run other commands between its rows,
-- so there (p_is_helper: mrr.is_helper) it raises HR000.
create or replace function mrr.read_slice(
  p_source text, p_snapshot text, p_query text, p_columns text, p_run_id bigint, p_slice bigint, p_first bigint, p_last bigint, p_step bigint, p_is_helper boolean)
returns setof record
language plpgsql
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  c_slice constant bigint := 64::bigint; -- blocks, half a megabyte: some thousand rows to an array
  c_ask constant text := 'execute headrace_slice(''(%s,0)'', ''(%s,0)'')';
  v_connection constant text := 'headrace2_' || p_source;
begin
  -- what is executed is put together from parts that format() has quoted: @plpgsql_check_options: security_warnings = off
  if not p_is_helper then
    raise exception using errcode = 'HR000', message = 'there is no process that helps';
  end if;
  if p_slice = p_first then
    perform etl.open_connection(v_connection, p_source);
    perform etl_ext.dblink_exec(v_connection, format('begin isolation level repeatable read read only; set transaction snapshot %L; set local plan_cache_mode = force_custom_plan', p_snapshot));
    perform etl.send_query(v_connection, 'prepare headrace_slice (tid, tid) as ' || p_query); -- which a lock there may hold
    perform etl.finish_query(v_connection);
    perform etl.post_query(v_connection, format(c_ask, p_slice * c_slice, (p_slice + 1) * c_slice));
  end if;
  perform etl.await_answer(v_connection);
  return query execute format('select * from etl_ext.dblink_get_result($1) r (%s)', p_columns) using v_connection;
  perform etl.finish_query(v_connection);
  perform etl.show_share(p_run_id, p_first::integer, (p_slice - p_first) / p_step + 1, (p_last - p_first) / p_step + 1);
  if p_slice < p_last then
    perform etl.post_query(v_connection, format(c_ask, (p_slice + p_step) * c_slice, (p_slice + p_step + 1) * c_slice));
  else
    perform etl_ext.dblink_disconnect(v_connection);
  end if;
end
$$;

comment on function mrr.read_slice(text, text, text, text, bigint, bigint, bigint, bigint, bigint, boolean) is
  'Answer with the rows of slice p_slice of a source table, one of each p_step-th from p_first to p_last that a process of run p_run_id reads. Raises the connection''s own error (class 08, 28), and HR000 in a process that does not help. Internal.';
revoke all on function mrr.read_slice(text, text, text, text, bigint, bigint, bigint, bigint, bigint, boolean) from public;
