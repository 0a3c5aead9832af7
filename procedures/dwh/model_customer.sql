-- Contract: one row per version of a customer, as a BI tool imports dwh.dim_customer: under its latest name, with the
-- country that its sales count for, and with no infinity, which many drivers cannot read.
-- Invariant: batch_from is 0 for the first version of a member and for no other.
create or replace view dwh.model_customer as
select
  c.customer_key,
  c.source,
  c.customer_id,
  coalesce(n.name, format('(customer %s)', c.customer_id)) as customer,
  coalesce(c.country, '(unknown)') as country,
  case when c.batch_from = 0 then (c.valid_from at time zone w.time_zone)::date end as new_on,
  c.valid_from,
  nullif(c.valid_to, 'infinity') as valid_to,
  c.is_current,
  c.is_inferred
from dwh.dim_customer c
cross join etl.warehouse w
left join (
  select distinct on (v.source, v.customer_id) v.source, v.customer_id, v.name
  from dwh.dim_customer v
  order by v.source, v.customer_id, v.batch_from desc
) n on n.source = c.source and n.customer_id = c.customer_id;

comment on view dwh.model_customer is 'Versions of customers as BI tools import them: latest name, country as sold to, no infinity. For headrace_reader.';
comment on column dwh.model_customer.customer_key is 'Version of the customer, a key of dwh.dim_customer.';
comment on column dwh.model_customer.source is 'Source that the customer comes from.';
comment on column dwh.model_customer.customer_id is 'The source''s own id of the customer.';
comment on column dwh.model_customer.customer is 'Latest name of the customer.';
comment on column dwh.model_customer.country is 'Country of the customer in this version, or (unknown).';
comment on column dwh.model_customer.new_on is 'Day on which the customer was first captured, or first named by a sale, in the time zone of the warehouse; null for later versions.';
comment on column dwh.model_customer.valid_from is 'Start of the version''s period, inclusive.';
comment on column dwh.model_customer.valid_to is 'End of the version''s period, exclusive; null for the current one.';
comment on column dwh.model_customer.is_current is 'True for the version that holds now; none for a deleted member.';
comment on column dwh.model_customer.is_inferred is 'True while only facts speak of the customer and its own row has not come.';
revoke all on dwh.model_customer from public;
grant select on dwh.model_customer to headrace_reader;
