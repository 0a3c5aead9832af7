-- Contract: true if a batch changed a mirror that one of the step's stages reads; the cost of a run follows what changed.
-- A step that names no stage is concerned by every batch with changes.
create or replace function etl.step_is_concerned(p_step etl.step, p_batch bigint)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select (p_step).stages = '{}' or exists (
    select
    from etl.stage g
    join etl.batch_table t on t.mirror = g.mirror
    where g.stage = any ((p_step).stages) and t.batch_id = p_batch)
$$;

comment on function etl.step_is_concerned(etl.step, bigint) is
  'Whether batch p_batch changed a mirror that the step reads. Internal.';
revoke all on function etl.step_is_concerned(etl.step, bigint) from public;
