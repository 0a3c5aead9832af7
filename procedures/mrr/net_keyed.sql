-- Contract: the net effect of pg_temp.headrace_log on a table with a key, into the change set: per key the last row counts;
-- I or U by whether the mirror has the key, D with the mirror's whole row, nothing where the mirror says the same already.
-- The mirror's rows are fetched by an inner join (m): for an outer one Citus would fetch the whole mirror.
create or replace function mrr.net_keyed(p_table etl.source_table, p_batch bigint, p_is_truncated boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_insert constant text := format(
    'with l as materialized (select distinct on (%1$s) x.* from pg_temp.headrace_log x order by %1$s, x._hr_seq desc),'
    ' m as materialized (select m.* from l join mrr.%2$I m on %3$s)'
    ' insert into stg.%4$I (%5$s, _hr_batch, _hr_op) ',
    etl.key_list(v_id, 'x.%1$I'), (p_table).mirror, etl.key_list(v_id, 'm.%1$I = l.%1$I', ' and '),
    (p_table).mirror || '_changes', etl.column_list(v_id, '%1$I'));
  v_same_key constant text := etl.key_list(v_id, 'm.%1$I = l.%1$I', ' and ');
begin
  perform mrr.fill_kept(p_table);
  if p_is_truncated then
    execute v_insert || format('select %s, $1, ''I'' from l where l._hr_op <> ''D'' order by l._hr_seq', etl.column_list(v_id, 'l.%1$I'))
      using p_batch;
    return;
  end if;
  execute v_insert || format('select %s, $1, ''D'' from l join m on %s where l._hr_op = ''D''', etl.column_list(v_id, 'm.%1$I'), v_same_key)
    using p_batch;
  execute v_insert || format(
    'select %s, $1, case when m._hr_batch is null then ''I'' else ''U'' end::"char" from l left join m on %s'
    ' where l._hr_op <> ''D'' and (m._hr_batch is null or %s <> %s) order by l._hr_seq',
    etl.column_list(v_id, 'l.%1$I'), v_same_key, etl.row_image(v_id, 'l'), etl.row_image(v_id, 'm'))
    using p_batch;
end
$$;

comment on function mrr.net_keyed(etl.source_table, bigint, boolean) is
  'Writes the net effect of pg_temp.headrace_log on the mirror of a table with a key into the change set. Internal.';
revoke all on function mrr.net_keyed(etl.source_table, bigint, boolean) from public;
