-- requires: stg.end_copy
-- Contract: no change set is a view afterwards: what copies wait (mrr.begin_copy) is written out. Before and after rows of
-- single layers or tables are restored, since such a view shows rows of another layer.
create or replace function stg.end_copies()
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  select stg.end_copy(t.mirror, to_regclass(format('mrr.%I', t.mirror)) is not null)
  from etl.source_table t
  where stg.is_copy(t.mirror)
  order by t.source_table_id;
  delete from stg.left_out;
$$;

comment on function stg.end_copies() is
  'Writes out all copies that wait, so that every change set is a table. Internal, for restores of a part.';
revoke all on function stg.end_copies() from public;
