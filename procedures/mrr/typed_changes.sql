-- requires: mrr.typed_list
-- Contract: the statement that writes one side (old_values or new_values) of the rows of p_from that p_condition picks into
-- pg_temp.headrace_log, as p_op, cast to the mirror's types and masked (mrr.typed_list). p_from is pg_temp.headrace_change or, in
-- parentheses, a query with its columns.
-- _hr_seq is twice the message's number, one more for what follows an old key of the same message; _hr_old then points
-- to that old key.
create or replace function mrr.typed_changes(
  p_table etl.source_table, p_names text[], p_side text, p_op text, p_condition text, p_follows boolean default false,
  p_from text default 'pg_temp.headrace_change')
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format(
    'insert into pg_temp.headrace_log select %s, 2 * v.seq + %s, %L::"char", %s, %s from (select c.* from %s c (seq, tag, old_kind, old_values, new_values, kept, column_names) where %s) v',
    mrr.typed_list(p_table, p_names, p_side),
    case when p_follows or p_op = 'I' then 1 else 0 end,
    p_op,
    case when p_side = 'new_values' then 'case when v.kept is not null then (select array_agg(v.column_names[k.number]) from unnest(v.kept) k (number)) end' else 'null::text[]' end,
    case when p_follows then '2 * v.seq' else 'null' end,
    p_from,
    p_condition)
$$;

comment on function mrr.typed_changes(etl.source_table, text[], text, text, text, boolean, text) is
  'Statement that casts and masks one side of decoded changes into pg_temp.headrace_log as operation p_op. p_names: the columns that all of them have, or null. p_follows: the rows follow an old key of the same message; p_from: what is read. Internal.';
revoke all on function mrr.typed_changes(etl.source_table, text[], text, text, text, boolean, text) from public;
