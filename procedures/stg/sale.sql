-- Contract: the change set of mirror sales for one batch: typed, snake_case, judged (reason null: fit). A sale needs a
-- customer, a product and a positive quantity; whether customer and product are known is not judged, since they may come later.
-- Inlined like a view and not checked when created, for the reasons given in stg.customer.
set local check_function_bodies = off;
create or replace function stg.sale(p_batch bigint)
returns table (change_seq bigint, op "char", origin bigint, source text, customer_id bigint, product_id bigint, qty bigint, reason text)
language sql
stable
parallel safe
as $$
  select
    c._hr_seq,
    c._hr_op,
    coalesce(c._hr_origin, c._hr_batch),
    (select t.source from etl.source_table t where t.mirror = 'sales'),
    c.customerid::bigint,
    c.productid::bigint,
    c.qty::bigint,
    case when c.customerid is null then 'the sale has no customer'
         when c.productid is null then 'the sale has no product'
         when c.qty is null or c.qty <= 0 then 'the quantity is not positive' end
  from stg.sales_changes c
  where c._hr_batch = p_batch
$$;
reset check_function_bodies;

comment on function stg.sale(bigint) is 'Typed and judged changes of sales in batch p_batch. Internal.';
revoke all on function stg.sale(bigint) from public;
