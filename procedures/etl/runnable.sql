-- Contract: the pipelines that etl.run(p_pipeline) works on: the one named, known or not (etl.open_run() says so), or, for
-- null, all that have a table, in the order of their registration.
create or replace function etl.runnable(p_pipeline text)
returns text[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case when p_pipeline is not null then array[p_pipeline]
              else array(select p.pipeline from etl.pipeline p
                         where exists (select from etl.source_table t where t.pipeline = p.pipeline and t.enabled)
                         order by p.pipeline_id) end
$$;

comment on function etl.runnable(text) is
  'Pipelines that etl.run() works on: the one named, or with null all that have an enabled table. For headrace_runner, through etl.run().';
revoke all on function etl.runnable(text) from public;
grant execute on function etl.runnable(text) to headrace_runner;
