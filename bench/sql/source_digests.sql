-- What a right result must add up to, worked out by the source itself. A digest is the number of rows and the sum of their
-- hashes: equal multisets have equal digests, and a missing, doubled or changed row changes it.
select 'customers', digest from (
  select concat_ws('/', count(*), sum(hashtextextended(coalesce(country, '-'), hashtextextended(coalesce(name, '-'), id))))
  from public.customers) d (digest)
union all
select 'products', digest from (
  select concat_ws('/', count(*), sum(hashtextextended(coalesce(groupname, '-'), hashtextextended(coalesce(name, '-'), id))))
  from public.products) d (digest)
union all
select 'sales', digest from (
  select concat_ws('/', count(*), sum(qty), sum(hashint8extended(qty, hashint8extended(productid, hashint8extended(customerid, 0)))))
  from public.sales) d (digest)
union all
select 'orphans', digest from (
  select count(*)::text from public.sales s
  where not exists (select from public.customers c where c.id = s.customerid)
     or not exists (select from public.products p where p.id = s.productid)) d (digest)
union all
select 'by product', digest from (
  select concat_ws('/', count(*), sum(lines), sum(units), sum(hashint8extended(units, hashint8extended(lines, coalesce(id, 0)))))
  from (select p.id, sum(s.lines)::bigint as lines, sum(s.units)::bigint as units
        from (select productid, count(*) as lines, sum(qty) as units from public.sales group by 1) s
        left join public.products p on p.id = s.productid group by 1) g) d (digest)
union all
select 'by country and product', digest from (
  select concat_ws('/', count(*), sum(lines), sum(units),
                   sum(hashtextextended(country, hashint8extended(units, hashint8extended(lines, coalesce(id, 0))))))
  from (select coalesce(c.country, '(unknown)') as country, p.id, count(*) as lines, sum(s.qty)::bigint as units
        from public.sales s
        left join public.customers c on c.id = s.customerid
        left join public.products p on p.id = s.productid
        group by 1, 2) g) d (digest)
