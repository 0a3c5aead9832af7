-- Contract: the sequence of the column that numbers the rows of a mirror or facts without a key; null where there is none.
create or replace function etl.number_sequence(p_table regclass)
returns regclass
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select pg_get_serial_sequence(p_table::text, a.attname)::regclass
  from pg_attribute a
  where a.attrelid = p_table and a.attidentity <> '' and a.attname in ('_hr_id', 'fact_key', 'sale_key')
$$;

comment on function etl.number_sequence(regclass) is
  'Sequence that numbers the rows of a mirror or of facts without a key. Internal.';
revoke all on function etl.number_sequence(regclass) from public;
