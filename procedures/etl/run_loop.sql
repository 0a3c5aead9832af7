-- Contract: runs a pipeline again and again within one job, for data fresher than pg_cron's shortest schedule: looks
-- every `every` whether there is anything to do, and runs only then (the time that a run takes counts); ends after `lasting`, or with the first failure.
-- A pipeline that is paused or at work elsewhere is looked at again, quietly. One with a table of another mode than log,
-- where each look would be a whole capture, gets one run per call; one without tables gets none.
-- Invariant: only commits, rolls back and calls, as etl.run() and for the same reasons.
create or replace procedure etl.run_loop(pipeline text, every interval default '1 second', lasting interval default '1 minute')
language plpgsql
as $$
declare
  v_end timestamptz;
  v_look timestamptz;
begin
  loop
    set local search_path = pg_catalog, pg_temp;
    v_look := clock_timestamp();
    v_end := coalesce(v_end, clock_timestamp() + lasting);
    if etl.is_idle(run_loop.pipeline) and etl.is_followed(run_loop.pipeline) is not null then
      if etl.has_pending(run_loop.pipeline) then
        commit;
        call etl.run(run_loop.pipeline);
        set local search_path = pg_catalog, pg_temp;
      end if;
    end if;
    exit when greatest(v_look + every, clock_timestamp()) >= v_end or etl.is_followed(run_loop.pipeline) is not true;
    commit;
    perform pg_catalog.pg_sleep(extract(epoch from greatest(v_look + every - clock_timestamp(), '0')));
  end loop;
end
$$;

comment on procedure etl.run_loop(text, interval, interval) is
  'Runs a pipeline whenever it has something to do, looking every `every`, for `lasting`. Ends with the SQLSTATE of a run that failed; 2D000 inside a transaction block. For headrace_runner.';
revoke all on procedure etl.run_loop(text, interval, interval) from public;
grant execute on procedure etl.run_loop(text, interval, interval) to headrace_runner;
