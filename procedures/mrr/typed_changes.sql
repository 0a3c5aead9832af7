-- Contract: the statement that writes one side (old_values or new_values) of the rows of p_from that p_condition picks into
-- pg_temp.headrace_log, as p_op, cast to the mirror's types and masked. p_from is pg_temp.headrace_change or, in parentheses, a query
-- with its columns. Columns of the table are found by name, in p_names, which all rows have, or in each row's own names where
-- that is null: so rows from before and after a change of columns are both read right; a column that a row does not have is NULL.
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
    string_agg(format(
      case c.mask when 'hash' then 'etl.mask_hash(v.%1$I[%2$s])' when 'truncate' then 'left(v.%1$I[%2$s], %4$s)' else 'v.%1$I[%2$s]::%3$s' end,
      p_side,
      case when p_names is null then format('array_position(v.column_names, %L)', c.column_name)
           else coalesce(array_position(p_names, c.column_name)::text, 'null::integer') end,
      c.mirror_type, c.mask_length), ', ' order by c.position),
    case when p_follows or p_op = 'I' then 1 else 0 end,
    p_op,
    case when p_side = 'new_values' then 'case when v.kept is not null then (select array_agg(v.column_names[k.number]) from unnest(v.kept) k (number)) end' else 'null::text[]' end,
    case when p_follows then '2 * v.seq' else 'null' end,
    p_from,
    p_condition)
  from etl.source_column c
  where c.source_table_id = (p_table).source_table_id and c.mask is distinct from 'drop'
$$;

comment on function mrr.typed_changes(etl.source_table, text[], text, text, text, boolean, text) is
  'Statement that casts and masks one side of decoded changes into pg_temp.headrace_log as operation p_op. p_names: the columns that all of them have, or null. p_follows: the rows follow an old key of the same message; p_from: what is read. Internal.';
revoke all on function mrr.typed_changes(etl.source_table, text[], text, text, text, boolean, text) from public;
