-- Contract: the change set of mirror customers for one batch: trimmed, typed, snake_case, judged (reason null: fit).
-- No SET clause and not SECURITY DEFINER, so the planner inlines it like a view; only routines with a pinned search_path
-- read it, and every name is qualified. The body is not checked when it is created, because the registry makes the change
-- set later.
set local check_function_bodies = off;
create or replace function stg.customer(p_batch bigint)
returns table (change_seq bigint, op "char", origin bigint, source text, customer_id bigint, name text, country text, reason text)
language sql
stable
parallel safe
as $$
  select
    c._hr_seq,
    c._hr_op,
    coalesce(c._hr_origin, c._hr_batch),
    (select t.source from etl.source_table t where t.mirror = 'customers'),
    c.id::bigint,
    nullif(btrim(c.name), ''),
    nullif(btrim(c.country), ''),
    case when c.id is null then 'the customer has no id' end
  from stg.customers_changes c
  where c._hr_batch = p_batch
$$;
reset check_function_bodies;

comment on function stg.customer(bigint) is 'Cleaned and judged changes of customers in batch p_batch. Internal.';
revoke all on function stg.customer(bigint) from public;
