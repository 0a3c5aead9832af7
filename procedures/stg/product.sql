-- Contract: the change set of mirror products for one batch: trimmed, typed, snake_case, judged (reason null: fit).
-- Inlined like a view and not checked when created, for the reasons given in stg.customer.
set local check_function_bodies = off;
create or replace function stg.product(p_batch bigint)
returns table (change_seq bigint, op "char", origin bigint, source text, product_id bigint, name text, product_group text, reason text)
language sql
stable
parallel safe
as $$
  select
    c._hr_seq,
    c._hr_op,
    coalesce(c._hr_origin, c._hr_batch),
    (select t.source from etl.source_table t where t.mirror = 'products'),
    c.id::bigint,
    nullif(btrim(c.name), ''),
    nullif(btrim(c.groupname), ''),
    case when c.id is null then 'the product has no id' end
  from stg.products_changes c
  where c._hr_batch = p_batch
$$;
reset check_function_bodies;

comment on function stg.product(bigint) is 'Cleaned and judged changes of products in batch p_batch. Internal.';
revoke all on function stg.product(bigint) from public;
