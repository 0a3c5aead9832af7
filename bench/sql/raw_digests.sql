-- The digests of loaded tables in schema {raw}, to be those of the source.
select 'customers', digest from (
  select concat_ws('/', count(*), sum(hashtextextended(coalesce(country, '-'), hashtextextended(coalesce(name, '-'), id))))
  from {raw}.customers) d (digest)
union all
select 'products', digest from (
  select concat_ws('/', count(*), sum(hashtextextended(coalesce(groupname, '-'), hashtextextended(coalesce(name, '-'), id))))
  from {raw}.products) d (digest)
union all
select 'sales', digest from (
  select concat_ws('/', count(*), sum(qty), sum(hashint8extended(qty, hashint8extended(productid, hashint8extended(customerid, 0)))))
  from {raw}.sales) d (digest)
