select s.customerid::bigint as customer_id, s.productid::bigint as product_id, c.customer_key, p.product_key,
       s.qty::bigint as qty, now() as captured_at, current_date as captured_on
from ({{ current_sales() }}) s
left join {{ ref('dim_customer') }} c on c.customer_id = s.customerid
left join {{ ref('dim_product') }} p on p.product_id = s.productid
