-- requires: etl.share_index
-- Contract: gives a mirror without a key its primary key again, by which equal rows are found, after a copy that was made without
-- it. Waits for who reads the mirror (etl.await_lock).
create or replace function mrr.make_mirror_index(p_mirror text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_shared boolean;
begin
  perform etl.await_lock(array[format('mrr.%I', p_mirror)]);
  v_is_shared := etl.share_index(format('mrr.%I', p_mirror)::regclass);
  execute format('alter table mrr.%I add primary key (_hr_hash, _hr_id)', p_mirror);
  perform etl.share_index(format('mrr.%I', p_mirror)::regclass, v_is_shared);
  execute format('analyze mrr.%I', p_mirror);
end
$$;

comment on function mrr.make_mirror_index(text) is
  'Makes the index by which equal rows are found in mirror p_mirror, which a copy has left out. Internal.';
revoke all on function mrr.make_mirror_index(text) from public;
