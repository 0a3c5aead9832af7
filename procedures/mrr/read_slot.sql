-- requires: mrr.count_kinds
-- Contract: reads what a pipeline's slot holds up to the fence into pg_temp.headrace_stream, without advancing it, in
-- fetches, several of which are asked for at once, so the source works on one while the one before it is written here;
-- and counts them (mrr.count_kinds). Transactions that are in a batch already are left out (their commit lies below p_position). Returns where the batch
-- ends, and whether more is waiting below the fence: the limit is kept at commits only. Where the slot gives nothing but what
-- is in a batch already, since it was not advanced meanwhile, more is false: the same would come again.
create or replace function mrr.read_slot(
  p_source text, p_slot_name text, p_position pg_lsn, p_fence pg_lsn, p_run_id bigint, p_table integer, p_limit integer,
  out batch_end pg_lsn, out is_more boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
set default_statistics_target = 10 -- rough ones do: how many messages, and of which kinds
as $$
declare
  v_connection constant text := 'headrace_' || p_source;
  v_since constant timestamptz := clock_timestamp();
  v_fetch constant integer := (select s.fetch_size from etl.settings s);
  v_asked integer := 1;
  v_left integer := 0;
  v_rows bigint;
  v_total bigint := 0::bigint;
begin
  create temporary table headrace_stream (seq bigint generated always as identity (cache 1000), xid bigint not null, tag "char" not null, message bytea not null)
    on commit drop;
  perform etl.send_query(v_connection, format(
    'declare headrace_rows no scroll cursor for select xid, data from pg_logical_slot_peek_binary_changes(%L, %L, %s,'
    ' ''proto_version'', ''1'', ''publication_names'', %L)',
    p_slot_name, p_fence, p_limit,
    (select string_agg(quote_ident(r.name), ',')
     from etl_ext.dblink(v_connection, format('select pubname from pg_publication where pubname in (%L, %L) order by 1', p_slot_name, p_slot_name || '_inserts')) r (name text))));
  perform etl.finish_query(v_connection);
  loop
    if v_left = 0 then
      perform etl.post_query(v_connection, repeat(format('fetch %s from headrace_rows;', v_fetch), v_asked));
      v_left := v_asked;
      v_asked := 8;
    end if;
    perform etl.await_answer(v_connection);
    insert into pg_temp.headrace_stream (xid, tag, message)
    select r.xid, chr(get_byte(r.message, 0))::"char", r.message
    from etl_ext.dblink_get_result(v_connection) r (xid bigint, message bytea);
    get diagnostics v_rows = row_count;
    v_left := v_left - 1;
    v_total := v_total + v_rows;
    perform etl.show_progress(p_run_id, 'c', p_table, v_total, 0, v_since);
    exit when v_rows < v_fetch;
    if v_left = 0 then
      perform etl.finish_query(v_connection);
    end if;
  end loop;
  for v_answer in 1..v_left loop -- of fetches from behind the end
    perform etl.await_answer(v_connection);
    perform from etl_ext.dblink_get_result(v_connection) r (xid xid, message bytea);
  end loop;
  perform etl.finish_query(v_connection);
  perform etl.send_query(v_connection, 'close headrace_rows');
  perform etl.finish_query(v_connection);

  is_more := v_total >= p_limit;
  batch_end := p_fence;
  if is_more then
    select greatest('0/0'::pg_lsn + mrr.int_at(s.message, 10, 8), p_position) into strict batch_end
    from pg_temp.headrace_stream s where s.tag = 'C' order by s.seq desc limit 1;
    is_more := batch_end > p_position;
  end if;
  delete from pg_temp.headrace_stream s
  using pg_temp.headrace_stream b
  where b.tag = 'B' and '0/0'::pg_lsn + mrr.int_at(b.message, 1, 8) < p_position and s.xid = b.xid
    and s.tag <> 'R'; -- sent once, for all transactions that follow
  create index on pg_temp.headrace_stream (seq) where tag in ('R', 'T'); -- which are few, and looked for by each table
  analyze pg_temp.headrace_stream;
  perform mrr.count_kinds();
end
$$;

comment on function mrr.read_slot(text, text, pg_lsn, pg_lsn, bigint, integer, integer) is
  'Reads a slot''s changes between p_position and p_fence into pg_temp.headrace_stream and pg_temp.headrace_kind, at most p_limit of them beside whole transactions. Needs the open snapshot. Internal.';
revoke all on function mrr.read_slot(text, text, pg_lsn, pg_lsn, bigint, integer, integer) from public;
