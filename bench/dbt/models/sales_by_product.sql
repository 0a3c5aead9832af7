select product_key, count(*) as lines, sum(qty)::bigint as units
from {{ ref('fact_sales') }}
group by 1
