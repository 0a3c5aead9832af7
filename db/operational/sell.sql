-- public.sell(sales): what happens in a shop within a minute: some sales, and now and then a new customer, a customer who
-- moves, a renamed product, a cancelled sale, or a sale that should never have been entered.
--
-- Contract: chances are per call. Choices are random(); setseed() makes them repeatable.
-- Invariant: a cancelled sale is exactly one row, however many are equal to it.
create or replace procedure public.sell(sales int default 20)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customers constant int := (select max(c.id) from public.customers c);
  v_products constant int := (select max(p.id) from public.products p);
  v_customer constant int := 1 + floor(random() * v_customers)::int;
  v_neighbour constant int := 1 + floor(random() * v_customers)::int;
  v_product constant int := 1 + floor(random() * v_products)::int;
  v_page bigint;
begin
  if sales is null or sales < 0 then
    raise exception 'cannot make % sales', coalesce(sales::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'Give the number of new sales, 0 or more: call public.sell(20);';
  end if;
  if v_customers is null or v_products is null then
    raise exception 'public.customers or public.products is empty, so there is nobody to sell to or nothing to sell'
      using errcode = 'object_not_in_prerequisite_state', hint = 'Fill them first: call public.generate();';
  end if;

  insert into public.sales (customerId, productId, qty)
  select c.id, p.id, s.qty
  from (
    select v_customers * power(random(), 2) as customer_at, floor(power(v_products + 1, random())) as product_at,
           1 + floor(-1.5 * ln(1 - random()))::int as qty
    from generate_series(1, sell.sales)
  ) s
  cross join lateral (select c.id from public.customers c where c.id >= s.customer_at order by c.id limit 1) c
  cross join lateral (select p.id from public.products p where p.id >= s.product_at order by p.id limit 1) p;

  if random() < 0.25 then  -- a new customer
    insert into public.customers (id, name, country)
    select v_customers + 1, split_part(c.name, ' ', 1) || substring(n.name from ' .*'), n.country
    from public.customers c, public.customers n
    where c.id = v_customer and n.id = v_neighbour
    on conflict (id) do nothing;
  end if;

  if random() < 0.1 then  -- a customer moves
    update public.customers c
    set country = n.country
    from public.customers n
    where c.id = v_customer and n.id = v_neighbour;
  end if;

  if random() < 0.05 then  -- a renamed product
    update public.products p
    set name = case when p.name like '% Plus' then left(p.name, -5) else p.name || ' Plus' end
    where p.id = v_product;
  end if;

  if random() < 0.3 then  -- a cancelled sale, the first one from a random page on
    v_page := floor(random() * pg_relation_size('public.sales') / current_setting('block_size')::int)::bigint;
    delete from public.sales s
    where s.ctid = (select c.ctid from public.sales c where c.ctid >= format('(%s,0)', v_page)::tid limit 1);
  end if;

  if random() < 0.1 then  -- an invalid sale
    insert into public.sales (customerId, productId, qty)
    values (case when v_customer % 3 <> 0 then v_customer end,
            case when v_customer % 3 <> 1 then v_product end,
            case when v_customer % 3 <> 2 then 1 else 0 end);
  end if;
end
$$;

comment on procedure public.sell(int) is
  'Sells a little, as a shop does within a minute. sales: how many new sales, 0 or more. Now and then also a new customer, one who moves, a renamed product, a cancelled sale, an invalid sale. Fails with 55000 where there are no customers or products, with 22023 for another argument. For the owner of the tables.';
revoke all on procedure public.sell(int) from public;
