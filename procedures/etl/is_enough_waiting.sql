-- requires: stg.is_copy
-- Contract: whether so much waits to be published that a run goes on to publish before it captures more, although its source
-- has more: writers that are faster than the capture cannot keep a run from ever publishing. The next run goes on.
-- A copy that waits (mrr.begin_copy) is enough: it would have to be written out before more is captured.
create or replace function etl.is_enough_waiting(p_pipeline text)
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(sum(b.rows_changed), 0) >= (select s.publish_changes from etl.settings s)
         or exists (select from etl.source_table t where t.pipeline = p_pipeline and stg.is_copy(t.mirror))
  from etl.batch b
  where b.pipeline = p_pipeline and b.published_at is null
$$;

comment on function etl.is_enough_waiting(text) is
  'Whether etl.settings.publish_changes changes or more wait in a pipeline. For headrace_runner, through etl.run().';
revoke all on function etl.is_enough_waiting(text) from public;
grant execute on function etl.is_enough_waiting(text) to headrace_runner;
