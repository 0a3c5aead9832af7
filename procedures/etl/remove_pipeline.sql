-- Contract: forgets a pipeline with all that it has: its tables with their mirrors, stages, dimensions, facts, steps, checks and batches.
-- The log of its runs stays until it is purged. Refuses while a step loads a table that no call made: its rows would be
-- loaded twice if the tables were registered again.
create or replace procedure etl.remove_pipeline(pipeline text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_pipeline constant text := remove_pipeline.pipeline;
  v_foreign text;
  v_name text;
  v_table record;
begin
  perform etl.lock_pipeline(v_pipeline);
  select string_agg(s.target, ', ' order by s.step_id) into v_foreign
  from etl.step s
  where s.pipeline = v_pipeline and s.target is not null and s.routine <> 'stg.judge'
    and not exists (select from etl.dimension d where d.dimension = s.target and d.is_made)
    and not exists (select from etl.fact f where f.fact = s.target and f.is_made);
  if v_foreign is not null then
    raise exception using
      errcode = 'dependent_objects_still_exist',
      message = format('pipeline %s loads tables that etl.add_dimension and etl.add_fact did not make: %s', v_pipeline, v_foreign),
      hint = 'Take their steps away first, call etl.remove_step(…), and drop or empty the tables.';
  end if;
  for v_name in select f.fact from etl.fact f join etl.step s on s.target = f.fact where s.pipeline = v_pipeline loop
    call etl.remove_fact(v_name);
  end loop;
  for v_name in select d.dimension from etl.dimension d join etl.step s on s.target = d.dimension where s.pipeline = v_pipeline loop
    call etl.remove_dimension(v_name);
  end loop;
  delete from etl.step s where s.pipeline = v_pipeline;
  for v_name in
    select g.stage from etl.stage g join etl.source_table t on t.mirror = g.mirror group by g.stage having bool_and(t.pipeline = v_pipeline)
  loop
    call etl.remove_stage(v_name);
  end loop;
  for v_table in select t.source, format('%I.%I', t.source_schema, t.source_name) as name from etl.source_table t where t.pipeline = v_pipeline loop
    call etl.remove_table(v_table.source, v_table.name, force => true);
  end loop;
  delete from etl.batch_table t using etl.batch b where b.batch_id = t.batch_id and b.pipeline = v_pipeline;
  delete from etl.batch b where b.pipeline = v_pipeline;
  delete from etl.pipeline p where p.pipeline = v_pipeline;
end
$$;

comment on procedure etl.remove_pipeline(text) is
  'Forgets a pipeline with its tables, mirrors, stages, dimensions, facts, steps, checks and batches, and drops what the calls made for them; the log of its runs stays. Raises 42704, 2BP01 where it loads tables made elsewhere, 55P03 while a run is at work. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_pipeline(text) from public;
