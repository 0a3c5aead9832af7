-- Contract: completes rows in pg_temp.headrace_log of a table with a key whose large values were not sent, from the last
-- row of the same key before it in the log, or else from the mirror. Rows that changed their key come first, one by one in
-- order, because their value lies under the old key; then only the last row of each key matters.
create or replace function mrr.fill_kept(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_column text;
  v_seq bigint;
  v_sql text;
begin
  if not exists (select from pg_temp.headrace_log l where l._hr_kept is not null) then
    return;
  end if;
  execute format('create index on pg_temp.headrace_log (%s, _hr_seq)', etl.key_list(v_id, '%1$I'));
  for v_column in select distinct k.name from pg_temp.headrace_log l cross join unnest(l._hr_kept) k (name) where l._hr_kept is not null loop
    -- %1$s picks the rows to complete, o is the row that has their key (itself, or its old key)
    v_sql := format(
      'update pg_temp.headrace_log l set %3$I = case when p._hr_seq is null then m.%3$I else p.%3$I end'
      ' from pg_temp.headrace_log o'
      ' left join lateral (select x.* from pg_temp.headrace_log x where %1$s and x._hr_seq < o._hr_seq and x._hr_op in (''I'', ''U'')'
      '                    and %3$L <> all (coalesce(x._hr_kept, ''{}'')) order by x._hr_seq desc limit 1) p on true'
      ' left join mrr.%4$I m on %2$s'
      ' where %3$L = any (l._hr_kept) and o._hr_seq = coalesce(l._hr_old, l._hr_seq)',
      etl.key_list(v_id, 'x.%1$I = o.%1$I', ' and '), etl.key_list(v_id, 'm.%1$I = o.%1$I', ' and '), v_column, (p_table).mirror);
    for v_seq in
      select l._hr_seq from pg_temp.headrace_log l where l._hr_old is not null and v_column = any (l._hr_kept) order by l._hr_seq
    loop
      execute v_sql || ' and l._hr_seq = $1' using v_seq;
      update pg_temp.headrace_log l set _hr_kept = array_remove(l._hr_kept, v_column) where l._hr_seq = v_seq;
    end loop;
    execute v_sql || format(' and not exists (select from pg_temp.headrace_log x where %s and x._hr_seq > l._hr_seq)',
                            etl.key_list(v_id, 'x.%1$I = l.%1$I', ' and '));
  end loop;
end
$$;

comment on function mrr.fill_kept(etl.source_table) is
  'Completes rows in pg_temp.headrace_log whose large values were sent as unchanged. Internal.';
revoke all on function mrr.fill_kept(etl.source_table) from public;
