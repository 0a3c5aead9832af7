-- Contract: whether a look into its slots tells all there is to do: every table of the pipeline is captured by log. Null
-- where it has none. A table of another mode is known only after a whole capture.
create or replace function etl.is_followed(p_pipeline text)
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select bool_and(t.capture = 'log') from etl.source_table t where t.pipeline = p_pipeline and t.enabled
$$;

comment on function etl.is_followed(text) is
  'Whether all tables of a pipeline are captured by log; null where it has none. For headrace_runner, through etl.run_loop().';
revoke all on function etl.is_followed(text) from public;
grant execute on function etl.is_followed(text) to headrace_runner;
