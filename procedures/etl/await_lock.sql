-- Contract: locks tables and views exclusively, all or none, without standing in the queue: whoever reads them now, such as a
-- dump, is waited for, and whoever comes later is let in, since pg_dump's workers give up before a lock that is waited for. A
-- dump that asked for what is locked here would otherwise wait for us, and we for it.
-- Errors: 55P03 after lock_timeout, where that is set, and as soon as somebody waits for what this transaction holds already:
-- the caller's run lets go of all and tries again.
create or replace function etl.await_lock(p_relations text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_statement constant text := format('lock table %s in access exclusive mode nowait', array_to_string(p_relations, ', '));
  v_began constant timestamptz := clock_timestamp();
  v_limit constant interval := (select make_interval(secs => nullif(s.setting, '0')::double precision / 1000) from pg_settings s where s.name = 'lock_timeout');
  v_is_told boolean := false;
begin
  loop
    begin
      execute v_statement;
      return;
    exception when lock_not_available then
      if clock_timestamp() > v_began + v_limit
         or exists (select from pg_locks l where not l.granted and pg_backend_pid() = any (pg_blocking_pids(l.pid))) then
        raise;
      end if;
    end;
    if not v_is_told then
      raise notice 'waiting for who reads %, such as a dump', array_to_string(p_relations, ', ');
      v_is_told := true;
    end if;
    perform pg_sleep(0.2);
  end loop;
end
$$;

comment on function etl.await_lock(text[]) is
  'Locks p_relations (quoted names) exclusively as soon as nobody reads them, without blocking who comes in the meantime. Raises 55P03. Internal.';
revoke all on function etl.await_lock(text[]) from public;
