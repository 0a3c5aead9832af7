-- A table that all three capture modes can read: a key that grows, and rows that are only added.
create table public.ledger (id bigint generated always as identity primary key, customerid int, productid int, qty int);
insert into public.ledger (customerid, productid, qty)
select n % 1000, n % 100, 1 + n % 4 from generate_series(1, {rows}) n;
