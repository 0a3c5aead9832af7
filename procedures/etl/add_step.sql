-- Contract: registers a step of a pipeline's publish phase, or changes it; checks that its routine has the form of a step
-- and that what it depends on is there and leads in no circle.
create or replace procedure etl.add_step(
  pipeline text, step text, routine text, target text default null, stages text[] default '{}', depends_on text[] default '{}')
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_pipeline constant text := add_step.pipeline;
  v_unknown text;
begin
  select string_agg(s.stage, ', ') into v_unknown
  from unnest(add_step.stages) s (stage)
  where not exists (select from etl.stage g where g.stage = s.stage);
  if not exists (select from etl.pipeline p where p.pipeline = v_pipeline) then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', v_pipeline),
      hint = 'A pipeline comes with its first table: call etl.add_table(…, pipeline => …);';
  elsif not exists (select from pg_proc p where p.oid = to_regprocedure(add_step.routine || '(bigint, etl.step)') and p.prorettype = 'etl.row_counts'::regtype) then
    raise exception using
      errcode = 'undefined_function',
      message = format('there is no function %s(bigint, etl.step) that returns etl.row_counts', add_step.routine),
      hint = 'A step''s routine takes the batch and the step''s own row, and returns the rows that it moved.';
  elsif v_unknown is not null then
    raise exception using
      errcode = 'undefined_object',
      message = format('step %s reads stages that are not registered: %s', add_step.step, v_unknown),
      hint = 'Register them: call etl.add_stage(stage, mirror, …);';
  end if;
  insert into etl.step (pipeline, step, routine, target, stages, depends_on)
  values (v_pipeline, add_step.step, add_step.routine, add_step.target, add_step.stages, add_step.depends_on)
  on conflict (pipeline, step) do update
  set routine = excluded.routine, target = excluded.target, stages = excluded.stages, depends_on = excluded.depends_on;

  if exists (
    with recursive reach as (
      select s.step, d.name as needed
      from etl.step s cross join unnest(s.depends_on) d (name)
      where s.pipeline = v_pipeline
      union
      select r.step, d.name
      from reach r
      join etl.step s on s.pipeline = v_pipeline and s.step = r.needed
      cross join unnest(s.depends_on) d (name)
    )
    select from reach r
    where r.step = r.needed or not exists (select from etl.step s where s.pipeline = v_pipeline and s.step = r.needed)
  ) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('step %s of pipeline %s depends on a step that is not there, or in the end on itself: %s',
                       add_step.step, v_pipeline, array_to_string(add_step.depends_on, ', ')),
      hint = format('The steps: select step, depends_on from etl.step where pipeline = %L;', v_pipeline);
  end if;
end
$$;

comment on procedure etl.add_step(text, text, text, text, text[], text[]) is
  'Registers a step of a pipeline: routine is a function (bigint, etl.step) returning etl.row_counts; target: the table it loads; stages: stage functions it reads; depends_on: steps before it. Raises 42704, 42883, 22023. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_step(text, text, text, text, text[], text[]) from public;
