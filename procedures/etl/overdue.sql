-- requires: etl.progress
-- Contract: the runs at work that take longer than their pipeline allows, or whose present table or step does. An index that a
-- first load left out (etl.make_indexes) is bounded by the run alone: nothing is captured before it is there.
-- A run is at work as long as its session holds the pipeline's lock: the number of a backend that died may be another's now.
create or replace function etl.overdue()
returns table (run_id bigint, pid integer, reason text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.run_id, r.backend_pid,
         case when clock_timestamp() - r.started_at > p.run_timeout then format('run %s of pipeline %s has taken longer than %s', r.run_id, p.pipeline, p.run_timeout)
              else format('%s of run %s of pipeline %s has taken longer than %s', g.step, r.run_id, p.pipeline, p.step_timeout) end
  from etl.run_log r
  join etl.pipeline p on p.pipeline = r.pipeline
  join pg_locks l on l.locktype = 'advisory' and l.pid = r.backend_pid and l.objsubid = 2 and l.granted
                 and l.database = (select d.oid from pg_database d where d.datname = current_database())
                 and l.classid::bigint = etl.lock_class() and l.objid::bigint = p.pipeline_id
  left join etl.progress g on g.run_id = r.run_id
  where r.status = 'running'
    and (clock_timestamp() - r.started_at > p.run_timeout or clock_timestamp() - g.since > p.step_timeout and g.step !~ '^index (mrr|dwh)\.')
$$;

comment on function etl.overdue() is
  'Runs that have taken longer than etl.pipeline.run_timeout or step_timeout. For headrace_runner, through etl.cancel_overdue(), and headrace_monitor.';
revoke all on function etl.overdue() from public;
grant execute on function etl.overdue() to headrace_runner, headrace_monitor;
