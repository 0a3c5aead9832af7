-- The floor's star schema: no key, no index, no history, and the parallel plans that CREATE TABLE AS may have. Left joins,
-- so that a sale of an unknown customer or product stays.
create :persistence table star.dim_customer as
select row_number() over (order by id) as customer_key, id::bigint as customer_id, name, country
from raw.customers;

create :persistence table star.dim_product as
select row_number() over (order by id) as product_key, id::bigint as product_id, name, groupname as product_group
from raw.products;

create :persistence table star.fact_sales as
select s.customerid::bigint as customer_id, s.productid::bigint as product_id, c.customer_key, p.product_key,
       s.qty::bigint as qty, now() as captured_at, current_date as captured_on
from raw.sales s
left join star.dim_customer c on c.customer_id = s.customerid
left join star.dim_product p on p.product_id = s.productid;

create :persistence table star.sales_by_day as
select f.captured_on, coalesce(c.country, '(unknown)') as country, f.product_key, count(*) as lines, sum(f.qty)::bigint as units
from star.fact_sales f
left join star.dim_customer c on c.customer_key = f.customer_key
group by 1, 2, 3;

create :persistence table star.sales_by_product as
select product_key, count(*) as lines, sum(qty)::bigint as units
from star.fact_sales
group by 1;
