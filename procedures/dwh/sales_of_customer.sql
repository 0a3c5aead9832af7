-- Contract: the facts of a customer, by the source's own id of it, found by their index and not by reading all facts. That has a place for
-- the customer in each generation of sale_key (etl.placed_hash), up to that of the highest number. Runs with the caller's
-- rights, so it shows what the caller may see.
create or replace function dwh.sales_of_customer(customer_id bigint)
returns setof dwh.fact_sales
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select f.*
  from dwh.fact_sales f
  where f.customer_id = sales_of_customer.customer_id
    and ((f.sale_key & -4294967296) | (hashint8(f.customer_id)::bigint & 4294967295)) = any (array(
      select g | (hashint8(sales_of_customer.customer_id)::bigint & 4294967295)
      from generate_series(0, (select max(m.sale_key) from dwh.fact_sales m), 4294967296) g))
$$;

comment on function dwh.sales_of_customer(bigint) is
  'Facts of the customer with this id at the source, found without reading all facts. No errors; no rows for an unknown customer. For headrace_reader.';
revoke all on function dwh.sales_of_customer(bigint) from public;
grant execute on function dwh.sales_of_customer(bigint) to headrace_reader;
