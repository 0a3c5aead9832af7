-- The sample's operational database: three tables as such systems have them, sales without a key.
create table if not exists public.customers (
  id int primary key,
  name text,
  country text
);

create table if not exists public.products (
  id int primary key,
  name text,
  groupname text
);

create table if not exists public.sales (
  customerId int,
  productId int,
  qty int
);
