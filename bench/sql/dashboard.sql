-- What a dashboard shows: units by day and group of products, and the best countries; stands in where dwh.dashboard() is not.
select jsonb_build_object(
  'days', (
    select jsonb_agg(d) from (
      select a.captured_on, p.product_group, sum(a.lines) as lines, sum(a.units) as units
      from dwh.sales_by_day a
      join dwh.dim_product p using (product_key)
      group by 1, 2
      order by 1, 2) d),
  'countries', (
    select jsonb_agg(c) from (
      select a.country, sum(a.units) as units from dwh.sales_by_day a group by 1 order by 2 desc limit 10) c))
