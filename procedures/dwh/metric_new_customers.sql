-- Contract: customers by the day on which the warehouse first knew of them and the country that they had then. An
-- inferred customer is new on the day of the first sale that names it.
-- Invariant: batch_from is 0 for the first version of a member and for no other. Those of one batch share valid_from, and are
-- counted before it is made a day.
create or replace view dwh.metric_new_customers as
select
  (n.valid_from at time zone (select w.time_zone from etl.warehouse w))::date as day,
  coalesce(n.country, '(unknown)') as country,
  sum(n.customers)::bigint as customers
from (
  select c.valid_from, c.country, count(*) as customers
  from dwh.dim_customer c
  where c.batch_from = 0
  group by c.valid_from, c.country
) n
group by 1, 2;

comment on view dwh.metric_new_customers is 'New customers by day and country. For headrace_reader.';
comment on column dwh.metric_new_customers.day is 'Day on which the customer was first captured, or first named by a sale, in the time zone of the warehouse.';
comment on column dwh.metric_new_customers.country is 'Country that the customer had then, or (unknown).';
comment on column dwh.metric_new_customers.customers is 'Customers that came.';
revoke all on dwh.metric_new_customers from public;
grant select on dwh.metric_new_customers to headrace_reader;
