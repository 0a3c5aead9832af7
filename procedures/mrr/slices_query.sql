-- requires: etl.placed_hash, mrr.is_helper, mrr.read_slice, mrr.rows_query
-- Contract: the query of mrr.copy_slices: the rows that a mirror without a key has of a source table, in p_parts parts, each of which a process of its own reads
-- (mrr.read_slice): every p_parts-th of p_slices slices. $1 is the batch. Rows are numbered by their slice, with room for p_room in each, since helpers
-- cannot share a sequence.
-- For n parts PostgreSQL takes only 1 + log2(n) processes, so there are as many parts without a slice as make it p_parts. They cost nothing and come last.
create or replace function mrr.slices_query(
  p_table etl.source_table, p_run_id bigint, p_snapshot text, p_parts integer, p_slices bigint, p_room bigint)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(
    format('select %1$s, $1 as _hr_batch, etl.placed_hash(c._hr_id, hashtextextended(%2$s, 0)) as _hr_hash, c._hr_id from (%3$s) c',
      etl.column_list(t.id, 'c.%1$I'), etl.row_image(t.id, 'c'),
      mrr.rows_query(p_table,
        format('generate_series(%1$s::bigint, %2$s, %3$s) n (slice) cross join lateral mrr.read_slice(%4$L, %5$L, %6$L, %7$L, %8$s, n.slice, %1$s, %2$s, %3$s, mrr.is_helper(%9$s))',
          p.first, p.last, p_parts, (p_table).source, p_snapshot, t.query, t.columns, p_run_id, pg_backend_pid()),
        true, format('n.slice * %s', p_room))),
    ' union all ' order by p.first)
  from (
    select (p_table).source_table_id as id, mrr.select_query(p_table, 'ctid >= $1 and ctid < $2', true) as query, mrr.answer_columns(p_table, true) as columns) t
  cross join (
    select n as first, case when n < p_parts then p_slices - 1 - (p_slices - 1 - n) % p_parts else -1 end as last
    from generate_series(0, (1 << (p_parts - 1)) - 1) n) p
$$;

comment on function mrr.slices_query(etl.source_table, bigint, text, integer, bigint, bigint) is
  'Query that reads a source table of p_slices slices in p_parts parts for its mirror; p_room: numbers for each slice. $1 is the batch. Internal.';
revoke all on function mrr.slices_query(etl.source_table, bigint, text, integer, bigint, bigint) from public;
