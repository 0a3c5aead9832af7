-- requires: etl.newest_generation, etl.keep_together
-- Contract: begins a new generation of a table's rows (etl.placed_hash) once the newest one has more than p_least numbers
-- and more than an eighth of all rows: so an index is added to at a small part of it, and there are only as many
-- generations as the logarithm of the rows, each of which a row that is deleted is looked for in.
-- Several pipelines may add to one table of facts: one of them begins. On a cluster, whose workers number rows by
-- themselves and each have a part of the index, there is one generation.
-- From the second one on rows are kept together in the table as well (etl.keep_together).
create or replace function etl.begin_generation(p_table regclass, p_least bigint default 1000000)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sequence constant regclass := etl.number_sequence(p_table);
  v_rows bigint;
begin
  if v_sequence is null or exists (select from pg_extension e where e.extname = 'citus') then
    return;
  end if;
  if pg_sequence_last_value(v_sequence) & 4294967295 > p_least then
    select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint into v_rows
    from pg_class c
    where c.relkind = 'r' and (c.oid = p_table or c.oid in (select t.relid from pg_partition_tree(p_table) t));
    perform pg_advisory_xact_lock(v_sequence::oid::bigint);
    if pg_sequence_last_value(v_sequence) & 4294967295 > greatest(p_least, v_rows / 8) then
      perform setval(v_sequence, etl.newest_generation(p_table) + 4294967296);
    end if;
  end if;
  if etl.newest_generation(p_table) > 0 then
    perform etl.keep_together(p_table, p_least);
  end if;
end
$$;

comment on function etl.begin_generation(regclass, bigint) is
  'Begins a new generation of a table''s rows where the newest has more than p_least numbers and than an eighth of all rows. Internal.';
revoke all on function etl.begin_generation(regclass, bigint) from public;
