-- Contract: attaches what dwh.make_partition() made to its fact table, which makes its primary key and indexes. Unlike CREATE
-- TABLE … PARTITION OF, this lets readers of the fact table go on.
create or replace function dwh.attach_partition(p_fact text, p_partition text, p_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month constant date := date_trunc('month', p_day)::date;
begin
  execute format('alter table %s attach partition %s for values from (%L) to (%L)',
    p_fact::regclass, p_partition::regclass, v_month, (v_month + interval '1 month')::date);
end
$$;

comment on function dwh.attach_partition(text, text, date) is
  'Attaches p_partition, for the month of p_day, to fact table p_fact, without blocking readers. Internal.';
revoke all on function dwh.attach_partition(text, text, date) from public;
