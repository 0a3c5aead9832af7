-- requires: dwh.dashboard_cube, dwh.dashboard_customers
-- Contract: the sales that the dashboard's page carries. Where dwh.sales_by_day has at most etl.settings.dashboard_cells cells, one
-- cube of all four dimensions, so that the page can answer any filter itself. Beyond that a cube of day, country and group,
-- its days cut to weeks, months, quarters or years until it surely fits, and the products by group without days and countries
-- or, where those are too many, the best-selling of them: is_partial. What needs more, a live page asks dwh.dashboard_answer().
-- Invariant: nothing here grows with the facts, and beyond the bound nothing that is carried grows with the aggregates either. No more
-- than the bound is read of the one by day, country and product; the one by group is smaller by what a group has of products.
create or replace function dwh.dashboard_sales()
returns json
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
  v_bound constant bigint := (select s.dashboard_cells::bigint from etl.settings s);
  v_first constant date := (select min(d.captured_on) from dwh.sales_by_day d);
  v_last constant date := (select max(d.captured_on) from dwh.sales_by_day d);
  v_is_small constant boolean := (
    select count(*) <= v_bound from (select from dwh.sales_by_day d limit v_bound + 1) d);
  v_countries bigint;
  v_groups bigint;
  v_is_partial boolean := false;
  v_grain text := 'day';
  v_cubes json[];
begin
  if v_is_small then
    v_cubes := array[dwh.dashboard_cube('{day,country,group,product}', 'day', '{}', null)];
  else
    v_countries := (select count(*) from (select distinct d.country from dwh.sales_by_group d) c);
    v_groups := (select count(*) from (select distinct d.product_group from dwh.sales_by_group d) p);
    v_grain := coalesce(
      (select g.grain
       from (values ('day', 1), ('week', 7), ('month', 28), ('quarter', 90), ('year', 365)) g (grain, days)
       where ((v_last - v_first) / g.days + 2) * v_countries * v_groups <= v_bound
       order by g.days
       limit 1),
      'year');
    v_is_partial := (select count(*) > v_bound / 10 from dwh.sales_by_product a);
    v_cubes := array[
      dwh.dashboard_cube('{day,country,group}', v_grain, '{}', null),
      case when v_is_partial then dwh.dashboard_cube('{product}', 'day', '{}', 100)
           else dwh.dashboard_cube('{group,product}', 'day', '{}', null) end];
  end if;
  return json_build_object(
    'first_day', v_first,
    'last_day', v_last,
    'grain', v_grain,
    'is_complete', v_is_small,
    'is_partial', v_is_partial,
    'bound', v_bound,
    'most_popular', dwh.most_popular_product(),
    'cubes', array_to_json(v_cubes),
    'customers', dwh.dashboard_customers(v_grain));
end
$$;

comment on function dwh.dashboard_sales() is
  'The sales that the dashboard''s page carries: cubes of at most etl.settings.dashboard_cells cells. Internal.';
revoke all on function dwh.dashboard_sales() from public;
