-- Contract: on a cluster of Citus, waits until no worker holds a transaction of the warehouse's owner that is prepared there
-- and was so a moment ago. A worker that is lost between the two halves of a commit holds its part back, unseen by all, until
-- Citus settles it (every citus.recover_2pc_interval, a minute by default). Does nothing without Citus.
-- Invariant: capture, publish and reconcile call it first, so that none compares, deletes or inserts beside rows that are
-- still to come.
-- Citus's function is named in dynamic SQL alone, since it may not be there. It asks over connections of its own and locks nothing.
-- Errors: 08006 where a worker does not answer, 55P03 where Citus does not settle in time.
create or replace function etl.await_workers()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_timeout constant interval := (select s.slot_timeout from etl.settings s) + coalesce(current_setting('citus.recover_2pc_interval', true)::interval, '0');
  v_since constant timestamptz := clock_timestamp();
  v_on_workers text;
  v_silent text;
  v_held text[];
begin
  select format('run_command_on_%s', 'workers') into v_on_workers from pg_extension e where e.extname = 'citus';
  if v_on_workers is null then
    return;
  end if;
  loop
    execute format(
      'select string_agg(format(''%%s:%%s: %%s'', w.nodename, w.nodeport, w.result), e''\n'') filter (where not w.success),'
      '       array_agg(g.gid) filter (where g.gid = any (coalesce($1, array[g.gid])))'
      ' from %I(%L) w left join lateral string_to_table(case when w.success then w.result end, '' '') g (gid) on true', v_on_workers,
      'select string_agg(p.gid, '' '') from pg_prepared_xacts p'
      ' where p.database = current_database() and p.owner = current_user and p.gid like ''citus\_0\_%''')
      into v_silent, v_held using v_held;
    if v_silent is not null then
      raise exception using
        errcode = 'connection_failure',
        message = 'a worker of the cluster does not answer',
        detail = v_silent,
        hint = 'The next run goes on once it is back. Nodes: select * from pg_dist_node;';
    end if;
    exit when v_held is null;
    if clock_timestamp() - v_since > v_timeout then
      raise exception using
        errcode = 'lock_not_available',
        message = 'a transaction that is prepared on a worker of the cluster was not settled',
        detail = 'Prepared: ' || array_to_string(v_held, ', '),
        hint = 'A superuser can settle it: select recover_prepared_transactions();';
    end if;
    perform pg_sleep(0.1);
  end loop;
end
$$;

comment on function etl.await_workers() is
  'Waits until Citus has settled what a lost worker of the cluster has prepared and not committed. Raises 08006, 55P03. Internal.';
revoke all on function etl.await_workers() from public;
