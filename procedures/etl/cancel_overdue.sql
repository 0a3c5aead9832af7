-- Contract: the watchdog: cancels runs that are overdue, also where they wait for a source; each is rolled back and logged as
-- canceled by itself. A SET statement_timeout cannot do this, since it has no effect inside a procedure that is at work.
-- Not SECURITY DEFINER: a role may cancel its own sessions, and the jobs of runs and of this are one role's. A run of somebody
-- else is named in a warning.
create or replace procedure etl.cancel_overdue()
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
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
end
$$;

comment on procedure etl.cancel_overdue() is
  'Cancels runs that have taken longer than their pipeline allows; a job calls it every minute. For headrace_runner.';
revoke all on procedure etl.cancel_overdue() from public;
grant execute on procedure etl.cancel_overdue() to headrace_runner;
