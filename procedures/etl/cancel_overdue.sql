-- Contract: the watchdog: cancels runs that are overdue, also where they wait for a source; each is rolled back and logged as
-- canceled by itself. A SET statement_timeout cannot do this, since it has no effect inside a procedure that is at work.
-- Not SECURITY DEFINER: a role may cancel its own sessions, and the jobs of runs and of this are one role's. A run of somebody
-- else is named in a warning.
-- Where dblink passes over connect_timeout, since PostgreSQL 16, it also cancels runs that wait for a source to take a
-- connection, and still do after 10 seconds: visible since PostgreSQL 17, in those of the caller's own role.
create or replace procedure etl.cancel_overdue()
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connecting integer[];
  v_run record;
begin
  for v_run in select o.* from etl.overdue() o loop
    begin
      perform pg_cancel_backend(v_run.pid);
      raise notice '%: canceled', v_run.reason;
    exception when insufficient_privilege then
      raise warning '%, and its session belongs to another role', v_run.reason
        using hint = format('As that role or a superuser: select pg_cancel_backend(%s);', v_run.pid);
    end;
  end loop;
  select array_agg(a.pid) into v_connecting
  from pg_stat_activity a
  join pg_locks l on l.pid = a.pid and l.locktype = 'advisory' and l.objsubid = 2 and l.granted and l.classid::bigint = etl.lock_class()
  where a.wait_event = 'DblinkConnect' and a.datname = current_database() and a.usename = current_user;
  if v_connecting is not null then
    perform pg_sleep(10);
    perform pg_stat_clear_snapshot();
    perform pg_cancel_backend(a.pid) from pg_stat_activity a where a.pid = any (v_connecting) and a.wait_event = 'DblinkConnect';
  end if;
end
$$;

comment on procedure etl.cancel_overdue() is
  'Cancels runs that have taken longer than their pipeline allows, or wait for a source to take a connection; a job calls it every minute. For headrace_runner.';
revoke all on procedure etl.cancel_overdue() from public;
grant execute on procedure etl.cancel_overdue() to headrace_runner;
