-- The floor's copies of the source's tables. persistence: empty, or unlogged.
create schema raw;
create schema star;
create :persistence table raw.customers (id int, name text, country text);
create :persistence table raw.products (id int, name text, groupname text);
create :persistence table raw.sales (customerid int, productid int, qty int);
