-- Contract: puts the mirrors of a rebuild, whole, into a waiting batch: the one just captured (a mirror's rebuild), or else a
-- batch of its own, dated as the newest capture.
create or replace function etl.write_rebuild(p_pipeline text, p_mirrors text[], p_run_id bigint)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch bigint := (select max(b.batch_id) from etl.batch b where b.pipeline = p_pipeline and b.published_at is null);
  v_mirror text;
begin
  if v_batch is null then
    insert into etl.batch (pipeline, kind, run_id, captured_at)
    select p_pipeline, 'rebuild', p_run_id, coalesce(max(b.captured_at), clock_timestamp())
    from (select x.captured_at from etl.batch x where x.pipeline = p_pipeline order by x.batch_id desc limit 1) b
    returning batch_id into strict v_batch;
  end if;
  foreach v_mirror in array p_mirrors loop
    perform stg.write_mirror(v_mirror, v_batch);
  end loop;
end
$$;

comment on function etl.write_rebuild(text, text[], bigint) is
  'Writes the given mirrors, whole, into the newest waiting batch of a pipeline, or a new one. For headrace_runner, through etl.rebuild().';
revoke all on function etl.write_rebuild(text, text[], bigint) from public;
grant execute on function etl.write_rebuild(text, text[], bigint) to headrace_runner;
