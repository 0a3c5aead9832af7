-- Contract: forgets a step of a pipeline; what it loaded stays. Refuses while another step depends on it.
create or replace procedure etl.remove_step(pipeline text, step text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_pipeline constant text := remove_step.pipeline;
  v_step constant text := remove_step.step;
  v_dependents constant text := (select string_agg(s.step, ', ' order by s.step_id) from etl.step s where s.pipeline = v_pipeline and v_step = any (s.depends_on));
begin
  if v_dependents is not null then
    raise exception using
      errcode = 'dependent_objects_still_exist',
      message = format('steps of pipeline %s depend on step %s: %s', v_pipeline, v_step, v_dependents),
      hint = 'Remove them first, or register them anew without it: call etl.add_step(…).';
  end if;
  delete from etl.step s where s.pipeline = v_pipeline and s.step = v_step;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('pipeline %s has no step %s', v_pipeline, v_step),
      hint = 'The registered ones: select pipeline, step from etl.step;';
  end if;
end
$$;

comment on procedure etl.remove_step(text, text) is
  'Forgets a step of a pipeline; what it loaded stays. Raises 42704, 2BP01 while another step depends on it. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_step(text, text) from public;
