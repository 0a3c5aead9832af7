-- Contract: forgets a stage function, and drops it if etl.create_stage() made it. Refuses while a dimension, a fact or a step other than the
-- judge reads it; the judge goes with the last stage that it reads.
create or replace procedure etl.remove_stage(stage text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_stage constant text := remove_stage.stage;
  v_is_made boolean;
  v_readers constant text := (
    select string_agg(r.name, ', ' order by r.name)
    from (select d.dimension from etl.dimension d where d.stage = v_stage
          union select f.fact from etl.fact f where f.stage = v_stage
          union select format('step %s of pipeline %s', s.step, s.pipeline) from etl.step s where v_stage = any (s.stages) and s.routine <> 'stg.judge') r (name));
begin
  if v_readers is not null then
    raise exception using
      errcode = 'dependent_objects_still_exist',
      message = format('stage %s is still read by: %s', v_stage, v_readers),
      hint = 'Remove them first: call etl.remove_fact(…), etl.remove_dimension(…) or etl.remove_step(…).';
  end if;
  with gone as (delete from etl.stage g where g.stage = v_stage returning g.is_made)
  select bool_or(g.is_made) into v_is_made from gone g;
  if v_is_made is null then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no stage %s', v_stage),
      hint = 'The registered ones: select distinct stage from etl.stage;';
  end if;
  delete from etl.step s where s.routine = 'stg.judge' and s.stages = array[v_stage]
    and not exists (select from etl.step d where d.pipeline = s.pipeline and s.step = any (d.depends_on));
  update etl.step s set stages = array_remove(s.stages, v_stage) where s.routine = 'stg.judge' and v_stage = any (s.stages);
  if v_is_made then
    execute format('drop function if exists %s', to_regprocedure(v_stage || '(bigint)'));
  end if;
end
$$;

comment on procedure etl.remove_stage(text) is
  'Forgets a stage function, and drops it if etl.create_stage() made it. Raises 42704, 2BP01 while something reads it. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_stage(text) from public;
