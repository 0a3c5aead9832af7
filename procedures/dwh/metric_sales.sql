-- Contract: sales by day, country and product, all of them, whatever grain is asked for: lines and units add up. One row
-- per day, country and product version. A product counts as a whole under its latest name; the group is the one it
-- had when it was sold, as dwh.most_popular_product() has it.
-- Invariant: reads the aggregate and no fact. Columns that nobody selects cost no join: both joins are to unique keys.
create or replace view dwh.metric_sales as
select
  a.captured_on as day,
  a.country,
  coalesce(p.product_group, '(unknown)') as product_group,
  p.source,
  p.product_id,
  coalesce(n.name, format('(product %s)', p.product_id)) as product,
  a.product_key,
  a.lines,
  a.units
from dwh.sales_by_day a
left join dwh.dim_product p on p.product_key = a.product_key
left join (
  select distinct on (v.source, v.product_id) v.source, v.product_id, v.name
  from dwh.dim_product v
  order by v.source, v.product_id, v.batch_from desc
) n on n.source = p.source and n.product_id = p.product_id;

comment on view dwh.metric_sales is 'Sales by day, country and product: lines and units, from dwh.sales_by_day. Sum them to any grain. For headrace_reader.';
comment on column dwh.metric_sales.day is 'Day on which the sales were captured.';
comment on column dwh.metric_sales.country is 'Country of the customer when the sales were captured, or (unknown).';
comment on column dwh.metric_sales.product_group is 'Group of the product when they were captured, or (unknown).';
comment on column dwh.metric_sales.source is 'Source that the product comes from.';
comment on column dwh.metric_sales.product_id is 'The source''s own id of the product.';
comment on column dwh.metric_sales.product is 'Latest name of the product.';
comment on column dwh.metric_sales.product_key is 'Version of the product, a key of dwh.dim_product.';
comment on column dwh.metric_sales.lines is 'Number of sales.';
comment on column dwh.metric_sales.units is 'Units sold.';
revoke all on dwh.metric_sales from public;
grant select on dwh.metric_sales to headrace_reader;
