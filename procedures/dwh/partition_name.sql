-- Contract: the name of the monthly partition of a fact table that holds p_day, whether it exists or not.
create or replace function dwh.partition_name(p_fact text, p_day date)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format('%I.%I', (parse_ident(p_fact))[1], (parse_ident(p_fact))[2] || to_char(p_day, '_YYYY_MM'))
$$;

comment on function dwh.partition_name(text, date) is
  'Name of the monthly partition of fact table p_fact that holds p_day. Internal.';
revoke all on function dwh.partition_name(text, date) from public;
