-- Changes that logical replication of PostgreSQL can apply at speed too: new sales, and customers who move. A deletion of a
-- sale, which has no key, would cost it a scan of the table before PostgreSQL 16.
update public.customers c set country = case c.country when 'Germany' then 'France' else 'Germany' end
from (select id from public.customers order by hashint8extended(id, %(round)s) limit %(changes)s / 20) chosen
where c.id = chosen.id;

insert into public.sales (customerid, productid, qty)
select 1 + n %% c.many, 1 + n %% p.many, 1 + n %% 4
from generate_series(1, %(changes)s - least(%(changes)s / 20, (select count(*) from public.customers))) n,
     (select count(*) as many from public.customers) c, (select count(*) as many from public.products) p;
