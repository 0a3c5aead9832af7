-- Contract: makes the monthly partition of a fact table that holds p_day as a table by itself, without indexes, to be
-- filled at once and then attached by dwh.attach_partition(). Returns its name, or null where the partition is there already.
create or replace function dwh.make_partition(p_fact text, p_day date)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_partition constant text := format('%I.%I', (parse_ident(p_fact))[1], (parse_ident(p_fact))[2] || to_char(p_day, '_YYYY_MM'));
begin
  if to_regclass(v_partition) is not null then
    return null;
  end if;
  execute format('create table %s (like %s including all excluding identity excluding indexes)', v_partition, p_fact::regclass);
  execute format('comment on table %s is %L', v_partition, format('Partition of %s for %s.', p_fact, to_char(p_day, 'YYYY-MM')));
  return v_partition;
end
$$;

comment on function dwh.make_partition(text, date) is
  'Makes the monthly partition of fact table p_fact for p_day as a table by itself; returns its name, or null where it exists. Internal.';
revoke all on function dwh.make_partition(text, date) from public;
