-- requires: dwh.metric_fact
-- Contract: the facts of own models as the dashboard's page takes them: of each its comment, its measures, and its cells of day, measure
-- (null: rows) and total. Where they cover more than two years, days are cut to months.
create or replace function dwh.dashboard_facts()
returns json
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  with fact as (
    select f.fact, f.measures, s.pipeline,
           case when (select max(m.day) - min(m.day) from dwh.metric_fact m where m.fact = f.fact) > 731 then 'month' else 'day' end as grain
    from etl.fact f
    join etl.step s on s.target = f.fact and s.routine = 'dwh.load_fact'
  ),
  cell as (
    select f.fact, date_trunc(f.grain, m.day::timestamp)::date as day, m.measure, sum(m.total) as total
    from fact f
    join dwh.metric_fact m on m.fact = f.fact
    group by 1, 2, 3
  )
  select coalesce(json_agg(json_build_object(
    'fact', f.fact,
    'comment', obj_description(to_regclass(f.fact), 'pg_class'),
    'pipeline', f.pipeline,
    'grain', f.grain,
    'measures', f.measures,
    'cells', (select coalesce(json_agg(json_build_array(c.day, c.measure, c.total) order by c.day), '[]') from cell c where c.fact = f.fact))
    order by f.fact), '[]')
  from (select distinct on (x.fact) x.* from fact x order by x.fact, x.pipeline) f
$$;

comment on function dwh.dashboard_facts() is 'Facts of own models by day, for the dashboard. Internal.';
revoke all on function dwh.dashboard_facts() from public;
