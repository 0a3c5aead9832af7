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
  v_last constant text := format('not exists (select from pg_temp.headrace_log x where %s and x._hr_seq > l._hr_seq)', etl.key_list(v_id, 'x.%1$I = l.%1$I', ' and '));
  v_start text;
  v_end text;
begin
  -- what is executed is put together from parts that format() has quoted: @plpgsql_check_options: security_warnings = off
  if not exists (select from pg_temp.headrace_log l where l._hr_kept is not null) then
    return;
  end if;
  execute format('create index on pg_temp.headrace_log (%s, _hr_seq)', etl.key_list(v_id, '%1$I'));
  for v_column in select distinct k.name from pg_temp.headrace_log l cross join unnest(l._hr_kept) k (name) where l._hr_kept is not null loop
    -- o is the row that has the key of the row to complete (itself, or its old key); which rows comes twice, at the ends. The
    -- mirror's rows are fetched by an inner join: for an outer one Citus would fetch the whole mirror.
    v_start := format(
      'update pg_temp.headrace_log l set %2$I = case when p._hr_seq is null then m.%2$I else p.%2$I end'
      ' from pg_temp.headrace_log o'
      ' left join lateral (select x.* from pg_temp.headrace_log x where %1$s and x._hr_seq < o._hr_seq and x._hr_op in (''I'', ''U'')'
      '                    and %2$L <> all (coalesce(x._hr_kept, ''{}'')) order by x._hr_seq desc limit 1) p on true'
      ' left join (select m.* from (select distinct %3$s from pg_temp.headrace_log l'
      '                             join pg_temp.headrace_log o on o._hr_seq = coalesce(l._hr_old, l._hr_seq)'
      '                             where %2$L = any (l._hr_kept) and ',
      etl.key_list(v_id, 'x.%1$I = o.%1$I', ' and '), v_column, etl.key_list(v_id, 'o.%1$I'));
    v_end := format(
      ') k join mrr.%2$I m on %3$s) m on %4$s where %1$L = any (l._hr_kept) and o._hr_seq = coalesce(l._hr_old, l._hr_seq) and ',
      v_column, (p_table).mirror, etl.key_list(v_id, 'm.%1$I = k.%1$I', ' and '), etl.key_list(v_id, 'm.%1$I = o.%1$I', ' and '));
    for v_seq in
      select l._hr_seq from pg_temp.headrace_log l where l._hr_old is not null and v_column = any (l._hr_kept) order by l._hr_seq
    loop
      execute v_start || 'l._hr_seq = $1' || v_end || 'l._hr_seq = $1' using v_seq;
      update pg_temp.headrace_log l set _hr_kept = array_remove(l._hr_kept, v_column) where l._hr_seq = v_seq;
    end loop;
    execute v_start || v_last || v_end || v_last;
  end loop;
end
$$;

comment on function mrr.fill_kept(etl.source_table) is
  'Completes rows in pg_temp.headrace_log whose large values were sent as unchanged. Internal.';
revoke all on function mrr.fill_kept(etl.source_table) from public;
