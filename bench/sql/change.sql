-- A day's work at the source, in four transactions: of all changes 5 %% move a customer, 0.5 %% rename a product, 10 %% cancel
-- a sale, which has no key, and the rest are new sales. Where there are fewer customers and products, fewer change.
update public.customers c set country = case c.country when 'Germany' then 'France' else 'Germany' end
from (select id from public.customers order by hashint8extended(id, %(round)s) limit %(changes)s / 20) chosen
where c.id = chosen.id;

update public.products p set name = split_part(p.name, ' #', 1) || ' #' || %(round)s
from (select id from public.products order by hashint8extended(id, %(round)s) limit %(changes)s / 200) chosen
where p.id = chosen.id;

delete from public.sales s
where s.ctid = any (array(select t.ctid from public.sales t tablesample bernoulli (%(share)s) limit %(changes)s / 10));

insert into public.sales (customerid, productid, qty)
select 1 + (h.hash & 2147483647) %% c.n, 1 + (h.hash >> 31 & 2147483647) %% p.n, 1 + (h.hash & 3)
from (select hashint8extended(n, %(round)s) & 9223372036854775807 as hash
      from generate_series(1, %(changes)s - %(changes)s / 10 - %(changes)s / 20 - %(changes)s / 200) n) h,
     (select count(*) as n from public.customers) c, (select count(*) as n from public.products) p;
