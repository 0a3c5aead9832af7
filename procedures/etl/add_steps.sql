-- Contract: registers what loads a dimension or fact in the pipeline of its stage's mirror: the judge, or one more stage for it, and the
-- step itself, after the judge and the dimensions' steps. A step that is there and has another routine is left as it is; one of this
-- routine reads this stage from now on. Where the mirror is not registered yet, nothing.
-- Invariant: a step is concerned by the mirrors of the stage that its target is loaded from, or their changes were lost on it.
create or replace function etl.add_steps(p_target text, p_stage text, p_routine text, p_dimensions text[] default '{}')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pipeline constant text := (select min(t.pipeline) from etl.stage g join etl.source_table t on t.mirror = g.mirror where g.stage = p_stage);
  v_step constant text := (parse_ident(p_target))[2];
  v_pipelines constant text := (
    select string_agg(distinct t.pipeline, ', ' order by t.pipeline) from etl.stage g join etl.source_table t on t.mirror = g.mirror where g.stage = p_stage);
  v_depends_on text[];
  v_former text;
begin
  if v_pipeline is null then
    return;
  elsif v_pipelines <> v_pipeline then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('stage %s reads mirrors of several pipelines: %s', p_stage, v_pipelines),
      hint = 'What is loaded together is published together: register its tables in one pipeline.';
  end if;
  update etl.step s set stages = s.stages || p_stage
  where s.pipeline = v_pipeline and s.routine = 'stg.judge' and p_stage <> all (s.stages);
  if not exists (select from etl.step s where s.pipeline = v_pipeline and s.routine = 'stg.judge') then
    call etl.add_step(v_pipeline, 'judge', 'stg.judge', 'stg.quarantine', array[p_stage]);
  end if;
  for v_former in select s.pipeline from etl.step s where s.target = p_target and s.routine = p_routine and s.pipeline <> v_pipeline loop
    call etl.remove_step(v_former, v_step);
  end loop;
  if not exists (select from etl.step s where s.pipeline = v_pipeline and s.step = v_step and s.routine <> p_routine) then
    v_depends_on := array(
      select s.step from etl.step s
      where s.pipeline = v_pipeline and (s.routine = 'stg.judge' or s.target = any (p_dimensions)
        or s.step = any ((select d.depends_on from etl.step d where d.pipeline = v_pipeline and d.step = v_step)::text[]))
      order by s.step_id);
    call etl.add_step(v_pipeline, v_step, p_routine, p_target, array[p_stage], v_depends_on);
  end if;
end
$$;

comment on function etl.add_steps(text, text, text, text[]) is
  'Registers the steps that load p_target from p_stage by p_routine. Internal.';
revoke all on function etl.add_steps(text, text, text, text[]) from public;
