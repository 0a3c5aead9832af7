-- The digests of a star schema in schema {star}, to be those of the source. {customers} and {products} are the dimensions' rows
-- with is_current and is_inferred. 'kept' compares the aggregate with the facts that it counts, by their own versions.
with customer as not materialized ({customers}),
product as not materialized ({products}),
day as materialized (
  select a.country, case when not p.is_inferred then p.product_id end as id, sum(a.lines)::bigint as lines, sum(a.units)::bigint as units
  from {star}.sales_by_day a left join product p on p.product_key = a.product_key group by 1, 2)
select 'customers', digest from (
  select concat_ws('/', count(*), sum(hashtextextended(coalesce(country, '-'), hashtextextended(coalesce(name, '-'), customer_id))))
  from customer where is_current and not is_inferred) d (digest)
union all
select 'products', digest from (
  select concat_ws('/', count(*), sum(hashtextextended(coalesce(product_group, '-'), hashtextextended(coalesce(name, '-'), product_id))))
  from product where is_current and not is_inferred) d (digest)
union all
select 'sales', digest from (
  select concat_ws('/', count(*), sum(qty), sum(hashint8extended(qty, hashint8extended(product_id, hashint8extended(customer_id, 0)))))
  from {star}.fact_sales) d (digest)
union all
select 'orphans', digest from (
  select count(*)::text from {star}.fact_sales f
  where not exists (select from customer c where c.customer_key = f.customer_key and not c.is_inferred)
     or not exists (select from product p where p.product_key = f.product_key and not p.is_inferred)) d (digest)
union all
select 'by product', digest from (
  select concat_ws('/', count(*), sum(lines), sum(units), sum(hashint8extended(units, hashint8extended(lines, coalesce(id, 0)))))
  from (select case when not p.is_inferred then p.product_id end as id, sum(a.lines)::bigint as lines, sum(a.units)::bigint as units
        from {star}.sales_by_product a left join product p on p.product_key = a.product_key group by 1) g) d (digest)
union all
select 'by country and product', digest from (
  select concat_ws('/', count(*), sum(lines), sum(units),
                   sum(hashtextextended(country, hashint8extended(units, hashint8extended(lines, coalesce(id, 0))))))
  from day) d (digest)
union all
select 'by version', digest from (
  select concat_ws('/', count(*), sum(lines), sum(units),
                   sum(hashtextextended(country, hashint8extended(units, hashint8extended(lines, coalesce(id, 0))))))
  from (select coalesce(c.country, '(unknown)') as country, case when not p.is_inferred then p.product_id end as id,
               count(*) as lines, sum(f.qty)::bigint as units
        from {star}.fact_sales f
        left join customer c on c.customer_key = f.customer_key
        left join product p on p.product_key = f.product_key
        group by 1, 2) g) d (digest)
