-- requires: etl.number_sequence
-- Contract: the number at which the newest generation of a table's rows begins (etl.placed_hash): 0 for the first one, and
-- where the table numbers no rows.
create or replace function etl.newest_generation(p_table regclass)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(pg_sequence_last_value(etl.number_sequence(p_table)), 0) & -4294967296
$$;

comment on function etl.newest_generation(regclass) is
  'Number at which the newest generation of a table''s rows begins. Internal.';
revoke all on function etl.newest_generation(regclass) from public;
