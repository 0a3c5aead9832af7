-- requires: mrr.rehash
-- Contract: has the next capture compare these mirrors with their source in full, whatever their capture mode, and makes
-- their row hashes right, since rows may have been changed by hand.
create or replace function etl.request_resync(p_pipeline text, p_mirrors text[])
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  update etl.source_table t set needs_resync = true where t.pipeline = p_pipeline and t.mirror = any (p_mirrors);
  select mrr.rehash(t) from etl.source_table t where t.pipeline = p_pipeline and t.mirror = any (p_mirrors);
$$;

comment on function etl.request_resync(text, text[]) is
  'Has the next capture of a pipeline compare these mirrors in full. For headrace_runner, through etl.rebuild().';
revoke all on function etl.request_resync(text, text[]) from public;
grant execute on function etl.request_resync(text, text[]) to headrace_runner;
