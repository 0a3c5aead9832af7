-- requires: dwh.is_place_index_deferred, mrr.unfinished_copies
-- Contract: whether nothing of a pipeline waits in the warehouse: its enabled tables are all captured by log and as far as their
-- slots, every batch is published, and neither a mirror nor the facts lack an index. Only then does a look at the sources tell all there is to do.
create or replace function etl.is_settled(p_pipeline text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(bool_and(t.capture = 'log' and t.copied_at is not null and not t.needs_resync and t.copy_lsn is null), false)
         and not exists (select from etl.batch b where b.pipeline = p_pipeline and b.published_at is null)
         and not exists (select from mrr.unfinished_copies(p_pipeline))
         and not dwh.is_place_index_deferred(p_pipeline)
  from etl.source_table t
  where t.pipeline = p_pipeline and t.enabled
$$;

comment on function etl.is_settled(text) is
  'Whether nothing of a pipeline waits in the warehouse, and all its tables are captured by log. Internal.';
revoke all on function etl.is_settled(text) from public;
