-- Contract: the net effect of pg_temp.headrace_log on a table with a key, into the change set: per key the last row counts;
-- I or U by whether the mirror has the key, D with the mirror's whole row, nothing where the mirror says the same already.
create or replace function mrr.net_keyed(p_table etl.source_table, p_batch bigint, p_is_truncated boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_insert constant text := format('insert into stg.%I (%s, _hr_batch, _hr_op) ', (p_table).mirror || '_changes', etl.column_list(v_id, '%1$I'));
  v_last constant text := format('(select distinct on (%1$s) x.* from pg_temp.headrace_log x order by %1$s, x._hr_seq desc) l', etl.key_list(v_id, 'x.%1$I'));
  v_join constant text := format('join mrr.%I m on %s', (p_table).mirror, etl.key_list(v_id, 'm.%1$I = l.%1$I', ' and '));
begin
  perform mrr.fill_kept(p_table);
  if p_is_truncated then
    execute v_insert || format('select %s, $1, ''I'' from %s where l._hr_op <> ''D'' order by l._hr_seq', etl.column_list(v_id, 'l.%1$I'), v_last)
      using p_batch;
    return;
  end if;
  execute v_insert || format('select %s, $1, ''D'' from %s %s where l._hr_op = ''D''', etl.column_list(v_id, 'm.%1$I'), v_last, v_join)
    using p_batch;
  execute v_insert || format(
    'select %s, $1, case when m._hr_batch is null then ''I'' else ''U'' end::"char" from %s left %s'
    ' where l._hr_op <> ''D'' and (m._hr_batch is null or %s <> %s) order by l._hr_seq',
    etl.column_list(v_id, 'l.%1$I'), v_last, v_join, etl.row_image(v_id, 'l'), etl.row_image(v_id, 'm'))
    using p_batch;
end
$$;

comment on function mrr.net_keyed(etl.source_table, bigint, boolean) is
  'Writes the net effect of pg_temp.headrace_log on the mirror of a table with a key into the change set. Internal.';
revoke all on function mrr.net_keyed(etl.source_table, bigint, boolean) from public;
