-- requires: etl.newest_generation
-- Contract: the numbers at which the generations of a table's rows begin. A row of a hash is found by
-- = any (array(select etl.placed_hash(g, hash) from unnest(etl.generations(table)) g)).
create or replace function etl.generations(p_table regclass)
returns bigint[]
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select array(select generate_series(0, etl.newest_generation(p_table), 4294967296))
$$;

comment on function etl.generations(regclass) is
  'Numbers at which the generations of a table''s rows begin. Internal.';
revoke all on function etl.generations(regclass) from public;
