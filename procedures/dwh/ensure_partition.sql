-- Contract: makes the monthly partition of a fact table that holds p_day, if it is missing. The table is made by itself and
-- then attached, which, unlike CREATE TABLE … PARTITION OF, lets readers of the fact table go on.
create or replace function dwh.ensure_partition(p_fact text, p_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month constant date := date_trunc('month', p_day)::date;
  v_schema constant text := (parse_ident(p_fact))[1];
  v_partition constant text := (parse_ident(p_fact))[2] || to_char(v_month, '_YYYY_MM');
begin
  if to_regclass(format('%I.%I', v_schema, v_partition)) is not null then
    return;
  end if;
  execute format('create table %I.%I (like %s including all excluding identity)', v_schema, v_partition, p_fact::regclass);
  execute format('comment on table %I.%I is %L', v_schema, v_partition, format('Partition of %s for %s.', p_fact, to_char(v_month, 'YYYY-MM')));
  execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)',
    p_fact::regclass, v_schema, v_partition, v_month, (v_month + interval '1 month')::date);
end
$$;

comment on function dwh.ensure_partition(text, date) is
  'Makes the monthly partition of fact table p_fact that p_day falls in, without blocking readers. Internal.';
revoke all on function dwh.ensure_partition(text, date) from public;
