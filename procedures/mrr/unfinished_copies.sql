-- Contract: the mirrors of a pipeline without a key that still lack the index by which equal rows are found, since their
-- copy was made without it. One that was dropped by hand is among them, so that no run takes it for settled.
create or replace function mrr.unfinished_copies(p_pipeline text)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select t.mirror
  from etl.source_table t
  where t.pipeline = p_pipeline and t.key_columns is null
    and not exists (select from pg_index i where i.indrelid = to_regclass(format('mrr.%I', t.mirror)) and i.indisprimary)
  order by t.source_table_id
$$;

comment on function mrr.unfinished_copies(text) is
  'Mirrors of a pipeline that lack the index by which equal rows are found. Internal.';
revoke all on function mrr.unfinished_copies(text) from public;
