-- Contract: one row per version of a product, as a BI tool imports dwh.dim_product: under its latest name, with the group
-- that its sales count for, and with no infinity, which many drivers cannot read.
create or replace view dwh.model_product as
select
  p.product_key,
  p.source,
  p.product_id,
  coalesce(n.name, format('(product %s)', p.product_id)) as product,
  coalesce(p.product_group, '(unknown)') as product_group,
  p.valid_from,
  nullif(p.valid_to, 'infinity') as valid_to,
  p.is_current,
  p.is_inferred
from dwh.dim_product p
left join (
  select distinct on (v.source, v.product_id) v.source, v.product_id, v.name
  from dwh.dim_product v
  order by v.source, v.product_id, v.batch_from desc
) n on n.source = p.source and n.product_id = p.product_id;

comment on view dwh.model_product is 'Versions of products as BI tools import them: latest name, group as sold, no infinity. For headrace_reader.';
comment on column dwh.model_product.product_key is 'Version of the product, a key of dwh.dim_product.';
comment on column dwh.model_product.source is 'Source that the product comes from.';
comment on column dwh.model_product.product_id is 'The source''s own id of the product.';
comment on column dwh.model_product.product is 'Latest name of the product.';
comment on column dwh.model_product.product_group is 'Group of the product in this version, or (unknown).';
comment on column dwh.model_product.valid_from is 'Start of the version''s period, inclusive.';
comment on column dwh.model_product.valid_to is 'End of the version''s period, exclusive; null for the current one.';
comment on column dwh.model_product.is_current is 'True for the version that holds now; none for a deleted member.';
comment on column dwh.model_product.is_inferred is 'True while only facts speak of the product and its own row has not come.';
revoke all on dwh.model_product from public;
grant select on dwh.model_product to headrace_reader;
