-- Contract: lets go of all that this session holds for a pipeline: its advisory lock, however often it was taken, and
-- its connections to sources. Holding nothing is no error.
create or replace function etl.release_run(p_pipeline text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pipeline_id constant integer := (select p.pipeline_id from etl.pipeline p where p.pipeline = p_pipeline);
begin
  perform etl.disconnect_source();
  while exists (select from pg_locks l
                where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.objsubid = 2
                  and l.database = (select d.oid from pg_database d where d.datname = current_database())
                  and l.classid::bigint = etl.lock_class() and l.objid::bigint = v_pipeline_id) loop
    exit when not pg_advisory_unlock(etl.lock_class(), v_pipeline_id);
  end loop;
end
$$;

comment on function etl.release_run(text) is
  'Releases this session''s lock on a pipeline and its connections to sources. For headrace_runner, through etl.run().';
revoke all on function etl.release_run(text) from public;
grant execute on function etl.release_run(text) to headrace_runner;
