-- requires: mrr.unfinished_copies, mrr.make_mirror_index
-- Contract: makes the mirrors of a pipeline ready to be changed: a copy that still waits is written out into its change
-- set, and a mirror without a key has the index again by which equal rows are found.
create or replace function mrr.settle_copies(p_pipeline text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mirror text;
begin
  for v_mirror in
    select t.mirror from etl.source_table t where t.pipeline = p_pipeline and stg.is_copy(t.mirror) order by t.source_table_id
  loop
    perform stg.end_copy(v_mirror, true);
  end loop;
  perform mrr.make_mirror_index(u.mirror) from mrr.unfinished_copies(p_pipeline) u (mirror);
end
$$;

comment on function mrr.settle_copies(text) is
  'Makes mirrors of a pipeline that were just copied ready to be changed. Internal.';
revoke all on function mrr.settle_copies(text) from public;
