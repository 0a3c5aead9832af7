-- requires: dwh.metric_new_customers
-- Contract: new customers by day and country in the form of dwh.dashboard_cube(), days cut to p_grain.
create or replace function dwh.dashboard_customers(p_grain text)
returns json
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  with cell as materialized (
    select date_trunc(p_grain, m.day::timestamp)::date as day, m.country, sum(m.customers)::bigint as customers
    from dwh.metric_new_customers m
    group by 1, 2
  ),
  day as (select c.day, row_number() over (order by c.day) - 1 as place from cell c group by c.day),
  country as (select c.country, row_number() over (order by c.country) - 1 as place from cell c group by c.country)
  select json_build_object(
    'dims', '["day", "country"]'::json,
    'values', json_build_object(
      'day', coalesce((select json_agg(d.day order by d.place) from day d), '[]'),
      'country', coalesce((select json_agg(o.country order by o.place) from country o), '[]')),
    'columns', json_build_object(
      'day', coalesce(array_to_json(array_agg(d.place)), '[]'),
      'country', coalesce(array_to_json(array_agg(o.place)), '[]')),
    'customers', coalesce(array_to_json(array_agg(c.customers)), '[]'))
  from cell c
  join day d on d.day = c.day
  join country o on o.country = c.country
$$;

comment on function dwh.dashboard_customers(text) is 'New customers by day, cut to p_grain, and country, for the dashboard. Internal.';
revoke all on function dwh.dashboard_customers(text) from public;
