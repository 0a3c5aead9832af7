-- Contract: the number at which the newest generation of a table's rows begins (etl.placed_hash): 0 for the first one, and
-- where the table numbers no rows.
create or replace function etl.newest_generation(p_table regclass)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(max(pg_sequence_last_value(pg_get_serial_sequence(p_table::text, a.attname)::regclass)), 0) & -4294967296
  from pg_attribute a
  where a.attrelid = p_table and a.attidentity <> '' and not a.attisdropped
$$;

comment on function etl.newest_generation(regclass) is
  'Number at which the newest generation of a table''s rows begins. Internal.';
revoke all on function etl.newest_generation(regclass) from public;
