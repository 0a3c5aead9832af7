-- requires: etl.generations, etl.placed_hash
-- Contract: deletes, for each group of n equal rows D of a batch, the n most recently captured equal facts, found one by one by
-- the source's own ids in each generation (fact_sales_place_idx), and notes them in stg.sales_delta; after a truncation (T)
-- all facts of the source, which the aggregates then count anew. Returns the rows deleted. Quarantine has already settled the
-- rows D that it held.
create or replace function dwh.delete_sales(p_batch bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_truncated constant text[] := array(select distinct s.source from stg.sale(p_batch) s where s.op = 'T');
  v_generations constant bigint[] := etl.generations('dwh.fact_sales');
  v_deleted bigint := 0::bigint;
  v_count bigint;
begin
  if v_truncated <> '{}' then
    with removed as (delete from dwh.fact_sales f where f.source = any (v_truncated) returning 1)
    select count(*) into v_deleted from removed;
  end if;

  with gone as materialized (
    select s.source, s.customer_id, s.product_id, s.qty, count(*) as copies,
           array(select etl.placed_hash(g, hashint8(s.customer_id)::bigint & 4294967295) from unnest(v_generations) g) as places
    from stg.sale(p_batch) s
    where s.op = 'D'
    group by 1, 2, 3, 4
  ), victim as (
    select v.customer_id, v.captured_on, v.sale_key
    from gone g
    cross join lateral (
      select f.customer_id, f.captured_on, f.sale_key,
             row_number() over (partition by f.customer_id, f.product_id, f.source, f.qty order by f.batch_id desc, f.sale_key desc) as number
      from dwh.fact_sales f
      where ((f.sale_key & -4294967296) | (hashint8(f.customer_id)::bigint & 4294967295)) = any (g.places)
        and f.customer_id = g.customer_id and f.product_id = g.product_id and f.source = g.source and f.qty = g.qty
    ) v
    where v.number <= g.copies
  ), removed as (
    delete from dwh.fact_sales f
    using victim v
    where f.customer_id = v.customer_id and f.captured_on = v.captured_on and f.sale_key = v.sale_key
    returning f.captured_on, f.customer_key, f.product_key, f.qty
  ), noted as (
    insert into stg.sales_delta (captured_on, country, product_key, lines, units)
    select r.captured_on, coalesce(c.country, '(unknown)'), r.product_key, -count(*), -sum(r.qty)
    from removed r
    join dwh.dim_customer c on c.customer_key = r.customer_key
    group by 1, 2, 3
  )
  select count(*) into v_count from removed;
  return v_deleted + v_count;
end
$$;

comment on function dwh.delete_sales(bigint) is
  'Deletes the facts of the sales that batch p_batch cancels, the most recently captured of equal ones; returns how many. Internal.';
revoke all on function dwh.delete_sales(bigint) from public;
