-- Sales of customers and of products that nobody knows: a right result keeps them.
insert into public.sales (customerid, productid, qty)
select 1500000000 + n, 1, 2 from generate_series(1, greatest(%(rows)s / 100000, 1)) n
union all
select 1, 1500000000 + n, 3 from generate_series(1, greatest(%(rows)s / 100000, 1)) n;
