-- Contract: one row per product that was ever sold, with its totals over all time, under its latest name and group.
-- Invariant: reads the aggregate per product and no fact. Ranks by units; ties share a rank.
create or replace view dwh.metric_product as
select
  s.source,
  s.product_id,
  coalesce(n.name, format('(product %s)', s.product_id)) as product,
  coalesce(n.product_group, '(unknown)') as product_group,
  s.lines,
  s.units,
  rank() over (order by s.units desc) as rank
from (
  select p.source, p.product_id, sum(a.lines)::bigint as lines, sum(a.units)::bigint as units
  from dwh.sales_by_product a
  join dwh.dim_product p on p.product_key = a.product_key
  group by p.source, p.product_id
) s
left join (
  select distinct on (v.source, v.product_id) v.source, v.product_id, v.name, v.product_group
  from dwh.dim_product v
  order by v.source, v.product_id, v.batch_from desc
) n on n.source = s.source and n.product_id = s.product_id;

comment on view dwh.metric_product is 'Products and all that was ever sold of each: lines, units, rank. For headrace_reader.';
comment on column dwh.metric_product.source is 'Source that the product comes from.';
comment on column dwh.metric_product.product_id is 'The source''s own id of the product.';
comment on column dwh.metric_product.product is 'Latest name of the product.';
comment on column dwh.metric_product.product_group is 'Latest group of the product, or (unknown).';
comment on column dwh.metric_product.lines is 'Number of sales.';
comment on column dwh.metric_product.units is 'Units sold.';
comment on column dwh.metric_product.rank is 'Rank by units; equal ones share it.';
revoke all on dwh.metric_product from public;
grant select on dwh.metric_product to headrace_reader;
