select f.captured_on, coalesce(c.country, '(unknown)') as country, f.product_key, count(*) as lines, sum(f.qty)::bigint as units
from {{ ref('fact_sales') }} f
left join {{ ref('dim_customer') }} c on c.customer_key = f.customer_key
group by 1, 2, 3
