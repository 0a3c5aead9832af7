-- requires: mrr.decode_change
-- Contract: the query that decodes the changes with one of p_tags in pg_temp.headrace_stream of relations with p_columns columns:
-- their number, tag, and what mrr.decode_change() says of each, with the columns' names; after message $1, without the
-- transactions that snapshot $2 saw. Relations are in pg_temp.headrace_relation; where p_relation says which, the
-- names are left out, no join is needed, and the changes come in their order. With p_is_pair those messages that hold two
-- rows, an old and a new one, else those with one.
-- Where each column begins follows from where the one before it ended, so there is one subquery per column (OFFSET 0 keeps
-- them apart), which is several times as fast as a loop in PL/pgSQL. Wide tables are left to the loop. The arrays of values
-- are kept apart too, else they would be made anew for each of their values.
create or replace function mrr.decode_query(p_columns integer, p_tags "char"[], p_is_pair boolean, p_relation bigint default null)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  -- %1$s is where the column begins, %2$s where the next one does: after one byte of kind, and for a text (t) its length and itself
  c_end constant text := 'q.%1$s + case get_byte(q.m, q.%1$s) when 116 then 5 + ((get_byte(q.m, q.%1$s + 1) << 24) | (get_byte(q.m, q.%1$s + 2) << 16)'
                         ' | (get_byte(q.m, q.%1$s + 3) << 8) | get_byte(q.m, q.%1$s + 4)) else 1 end';
  c_value constant text := 'case when q.%2$s - q.%1$s > 1 then convert_from(substr(q.m, q.%1$s + 6, q.%2$s - q.%1$s - 5), %3$L) end';
  c_kept constant text := 'case when get_byte(q.m, q.%1$s) = 117 then %2$s end';
  c_relation constant text := '(get_byte(s.message, 1)::bigint << 24) | (get_byte(s.message, 2) << 16) | (get_byte(s.message, 3) << 8) | get_byte(s.message, 4)';
  v_names constant text := case when p_relation is null then 'r.column_names' else 'null::text[] as column_names' end;
  v_from constant text :=
    ' from pg_temp.headrace_stream s'
    || case when p_relation is null then format(' join pg_temp.headrace_relation r on r.relation = %s and s.seq > r.first_seq and s.seq < r.end_seq', c_relation) else '' end
    || ' where s.seq > $1 and ($2 is null or not mrr.was_seen(s.xid, $2))'
    || format(' and s.tag = any (%L::"char"[])', p_tags)
    || case when p_relation is null then format(' and cardinality(r.column_names) = %s', p_columns) else format(' and (%s) = %s', c_relation, p_relation) end
    || format(' and (s.tag = ''U'' and get_byte(s.message, 5) <> 78) = %L', p_is_pair);
  v_query text := 'select s.seq, s.tag, get_byte(s.message, 5) as part, s.message || ''\x''::bytea as m, ' || v_names || ', 8 as at_1' || v_from;
  v_columns text[];
  v_values text[];
  v_kept text[];
  v_at integer := 1;
begin
  if p_columns not between 1 and 30 then
    return 'select s.seq, s.tag, d.old_kind, d.old_values, d.new_values, d.kept, ' || v_names
           || replace(v_from, ' where ', ' cross join lateral mrr.decode_change(s.message) d where ');
  end if;
  for v_row in 1..(1 + p_is_pair::integer) loop
    v_columns := '{}';
    v_kept := '{}';
    for v_column in 1..p_columns loop
      v_query := format('select q.*, %s as %s from (%s offset 0) q', format(c_end, 'at_' || v_at), 'at_' || v_at + 1, v_query);
      v_columns := v_columns || format(c_value, 'at_' || v_at, 'at_' || v_at + 1, getdatabaseencoding()); -- dblink has the source convert to it
      v_kept := v_kept || format(c_kept, 'at_' || v_at, v_column);
      v_at := v_at + 1;
    end loop;
    v_values := v_values || format('array[%s]', array_to_string(v_columns, ', '));
    v_query := format('select q.*, q.at_%s + 3 as at_%s from (%s offset 0) q', v_at, v_at + 1, v_query); -- where a second row begins
    v_at := v_at + 1;
  end loop;
  return format('select q.seq, q.tag, case when q.part <> 78 then chr(q.part)::"char" end, case when q.part <> 78 then %s end, %s,'
                ' case when q.tag = ''U'' then nullif(array_remove(array[%s], null), ''{}'') end, q.column_names from (%s offset 0) q offset 0',
    v_values[1], case when p_is_pair then v_values[2] else 'case when q.part = 78 then ' || v_values[1] || ' end' end,
    array_to_string(v_kept, ', '), v_query);
end
$$;

comment on function mrr.decode_query(integer, "char"[], boolean, bigint) is
  'Query that decodes the changes with one of p_tags in pg_temp.headrace_stream of relations with p_columns columns; p_is_pair: the messages with an old and a new row; p_relation: of this relation alone, without names. Internal.';
revoke all on function mrr.decode_query(integer, "char"[], boolean, bigint) from public;
