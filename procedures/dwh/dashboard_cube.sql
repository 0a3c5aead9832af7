-- Contract: sales summed to the dimensions p_dims (of day, country, group, product) as the dashboard's page takes them: values
-- lists what each dimension has, columns give for each cell its place in that list, lines and units what was sold. p_grain: what
-- a day is cut to (day, week, month, quarter, year). p_filter: {"from", "to": days; "countries", "groups", "products": lists}, none
-- of which must be there; a product is written source:product_id. p_limit: only so many cells, those with the most units.
-- Invariant: exact over all sales. Reads aggregates only: the one per product where neither days nor countries matter, the one per
-- group where no product does. A cut falls among equals by source and id, so that the same page comes again.
-- Values are in alphabetical order, products by units. The plan is made for the values: what no dimension and no filter
-- names costs no join. The planner cannot tell how few groups there are and would sort the aggregate; with so much work_mem, none of
-- which is used up, it hashes them, which is four times cheaper.
create or replace function dwh.dashboard_cube(p_dims text[], p_grain text, p_filter jsonb, p_limit bigint)
returns json
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set work_mem = '512MB'
set jit = off
as $$
declare
  v_from constant date := coalesce((p_filter ->> 'from')::date, '-infinity');
  v_to constant date := coalesce((p_filter ->> 'to')::date, 'infinity');
  v_countries constant text[] := array(select jsonb_array_elements_text(p_filter -> 'countries'));
  v_groups constant text[] := array(select jsonb_array_elements_text(p_filter -> 'groups'));
  v_products constant text[] := array(select jsonb_array_elements_text(p_filter -> 'products'));
  v_keys constant bigint[] := array(
    select p.product_key from dwh.dim_product p where format('%s:%s', p.source, p.product_id) = any (v_products));
  v_whole constant boolean :=
    not p_dims && '{day,country}' and p_filter -> 'from' is null and p_filter -> 'to' is null and v_countries = '{}';
  v_grouped constant boolean := not v_whole and not 'product' = any (p_dims) and v_products = '{}';
  v_cube json;
begin
  with sold as (
    select null::date as captured_on, null::text as country, a.product_key, null::text as product_group, a.lines, a.units
    from dwh.sales_by_product a
    where v_whole
    union all
    select a.captured_on, a.country, null, a.product_group, a.lines, a.units
    from dwh.sales_by_group a
    where v_grouped
      and a.captured_on >= v_from and a.captured_on <= v_to
      and (v_countries = '{}' or a.country = any (v_countries))
    union all
    select a.captured_on, a.country, a.product_key, null, a.lines, a.units
    from dwh.sales_by_day a
    where not v_whole and not v_grouped
      and a.captured_on >= v_from and a.captured_on <= v_to
      and (v_countries = '{}' or a.country = any (v_countries))
  ),
  cell as materialized (
    select g.*
    from (
      select
        case
          when not 'day' = any (p_dims) then '-infinity'
          when p_grain = 'day' then s.captured_on
          else date_trunc(p_grain, s.captured_on::timestamp)::date
        end as day,
        case when 'country' = any (p_dims) then s.country else '' end as country,
        case when 'group' = any (p_dims) then coalesce(s.product_group, p.product_group, '(unknown)') else '' end as product_group,
        case when 'product' = any (p_dims) then p.source else '' end as source,
        case when 'product' = any (p_dims) then p.product_id else 0 end as product_id,
        sum(s.lines)::bigint as lines,
        sum(s.units)::bigint as units
      from sold s
      left join dwh.dim_product p on p.product_key = s.product_key and not v_grouped
      where (v_products = '{}' or s.product_key = any (v_keys))
        and (v_groups = '{}' or coalesce(s.product_group, p.product_group, '(unknown)') = any (v_groups))
      group by 1, 2, 3, 4, 5
    ) g
    order by case when p_limit is not null then row(-g.units, g.source, g.product_id, g.day, g.country, g.product_group) end
    limit p_limit
  ),
  day as (select c.day, row_number() over (order by c.day) - 1 as place from cell c group by c.day),
  country as (select c.country, row_number() over (order by c.country) - 1 as place from cell c group by c.country),
  product_group as (
    select c.product_group, row_number() over (order by c.product_group) - 1 as place from cell c group by c.product_group),
  product as (
    select c.source, c.product_id, row_number() over (order by sum(c.units) desc, c.source, c.product_id) - 1 as place
    from cell c group by c.source, c.product_id)
  select json_build_object(
    'dims', p_dims,
    'values', json_build_object(
      'day', case when 'day' = any (p_dims) then coalesce((select json_agg(d.day order by d.place) from day d), '[]') end,
      'country', case when 'country' = any (p_dims) then coalesce((select json_agg(d.country order by d.place) from country d), '[]') end,
      'group', case when 'group' = any (p_dims) then coalesce((select json_agg(d.product_group order by d.place) from product_group d), '[]') end,
      'product', case when 'product' = any (p_dims) then coalesce((
        select json_agg(json_build_array(format('%s:%s', d.source, d.product_id), coalesce(n.name, format('(product %s)', d.product_id)))
                         order by d.place)
        from product d
        left join (
          select distinct on (v.source, v.product_id) v.source, v.product_id, v.name
          from dwh.dim_product v
          order by v.source, v.product_id, v.batch_from desc
        ) n on n.source = d.source and n.product_id = d.product_id), '[]') end),
    'columns', json_build_object(
      'day', case when 'day' = any (p_dims) then coalesce(array_to_json(array_agg(d.place)), '[]') end,
      'country', case when 'country' = any (p_dims) then coalesce(array_to_json(array_agg(o.place)), '[]') end,
      'group', case when 'group' = any (p_dims) then coalesce(array_to_json(array_agg(g.place)), '[]') end,
      'product', case when 'product' = any (p_dims) then coalesce(array_to_json(array_agg(p.place)), '[]') end),
    'lines', coalesce(array_to_json(array_agg(c.lines)), '[]'),
    'units', coalesce(array_to_json(array_agg(c.units)), '[]'))
  into v_cube
  from cell c
  join day d on d.day = c.day
  join country o on o.country = c.country
  join product_group g on g.product_group = c.product_group
  join product p on (p.source, p.product_id) = (c.source, c.product_id);
  return json_strip_nulls(v_cube);
end
$$;

comment on function dwh.dashboard_cube(text[], text, jsonb, bigint) is
  'Sales by the dimensions p_dims, days cut to p_grain, narrowed by p_filter, the p_limit largest cells, for the dashboard. Internal.';
revoke all on function dwh.dashboard_cube(text[], text, jsonb, bigint) from public;
