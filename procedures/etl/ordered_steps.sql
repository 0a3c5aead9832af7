-- Contract: the enabled steps of a pipeline, each after those it depends on. A step that depends on a missing, disabled or
-- circular step never comes out, so etl.add_step() refuses those.
create or replace function etl.ordered_steps(p_pipeline text)
returns setof etl.step
language sql
stable
rows 20
set search_path = pg_catalog, pg_temp
as $$
  with recursive depth as (
    select s.step, 0 as level
    from etl.step s
    where s.pipeline = p_pipeline
    union
    select s.step, d.level + 1
    from depth d
    join etl.step s on s.pipeline = p_pipeline and d.step = any (s.depends_on)
    where d.level < 100
  )
  select s.*
  from etl.step s
  join (select d.step, max(d.level) as level from depth d group by d.step) d on d.step = s.step
  where s.pipeline = p_pipeline and s.enabled
  order by d.level, s.step_id
$$;

comment on function etl.ordered_steps(text) is
  'Enabled steps of a pipeline in the order of their dependencies. Internal.';
revoke all on function etl.ordered_steps(text) from public;
