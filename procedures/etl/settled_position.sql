-- Contract: a flushed WAL position of a source at or above the commit of every transaction that its open snapshot saw. A
-- commit with synchronous_commit = off is visible before it is flushed, which takes at most three times wal_writer_delay;
-- so it waits until all WAL there is has been flushed, or for that long.
create or replace function etl.settled_position(p_source text)
returns pg_lsn
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_since constant timestamptz := clock_timestamp();
  v_inserted pg_lsn;
  v_state record;
begin
  loop
    select r.* into v_state
    from etl_ext.dblink('headrace_' || p_source,
      'select pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(), 3.1 * current_setting(''wal_writer_delay'')::interval')
      r (inserted pg_lsn, flushed pg_lsn, patience interval);
    v_inserted := coalesce(v_inserted, v_state.inserted);
    exit when v_state.flushed >= v_inserted or clock_timestamp() - v_since > v_state.patience;
    perform pg_sleep(0.02);
  end loop;
  return v_state.flushed;
end
$$;

comment on function etl.settled_position(text) is
  'A flushed WAL position above all that the open snapshot of a source saw; waits at most three times its wal_writer_delay. Internal.';
revoke all on function etl.settled_position(text) from public;
