-- requires: etl.generations, etl.placed_hash
-- Contract: notes in stg.sales_delta that facts of inferred customers which this batch completed now count for a known
-- country. Must run before the batch's own facts are written: those are counted under the new country at once.
create or replace function dwh.move_completed_sales()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_generations constant bigint[] := etl.generations('dwh.fact_sales');
begin
  with completed as materialized (
    select c.customer_id, c.customer_key, c.country,
           array(select etl.placed_hash(g, hashint8(c.customer_id)::bigint & 4294967295) from unnest(v_generations) g) as places
    from stg.completed_member m
    join dwh.dim_customer c on c.customer_key = m.member_key
    where m.dimension = 'dwh.dim_customer' and c.country is not null
  )
  insert into stg.sales_delta (captured_on, country, product_key, lines, units)
  select f.captured_on, v.country, f.product_key, v.sign * count(*), v.sign * sum(f.qty)
  from completed c
  join dwh.fact_sales f on ((f.sale_key & -4294967296) | (hashint8(f.customer_id)::bigint & 4294967295)) = any (c.places)
    and f.customer_id = c.customer_id and f.customer_key = c.customer_key
  cross join lateral (values ('(unknown)', -1), (c.country, 1)) v (country, sign)
  group by f.captured_on, v.country, f.product_key, v.sign;
  delete from stg.completed_member m where m.dimension = 'dwh.dim_customer';
end
$$;

comment on function dwh.move_completed_sales() is
  'Notes the change of country of facts whose inferred customer was completed. Internal.';
revoke all on function dwh.move_completed_sales() from public;
