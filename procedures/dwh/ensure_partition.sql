-- requires: dwh.partition_name
-- Contract: makes the monthly partition of a fact table that holds p_day, if it is missing, without blocking readers.
create or replace function dwh.ensure_partition(p_fact text, p_day date)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_partition constant text := dwh.partition_name(p_fact, p_day);
  v_names constant text[] := parse_ident(v_partition);
begin
  if to_regclass(v_partition) is null then
    execute format('create table %I.%I (like %s including all excluding comments excluding constraints excluding identity excluding indexes)',
      v_names[1], v_names[2], p_fact::regclass);
    perform dwh.attach_partition(p_fact, v_partition, p_day);
  end if;
end
$$;

comment on function dwh.ensure_partition(text, date) is
  'Makes the monthly partition of fact table p_fact that p_day falls in, without blocking readers. Internal.';
revoke all on function dwh.ensure_partition(text, date) from public;
