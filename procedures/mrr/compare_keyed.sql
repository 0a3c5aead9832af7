-- Contract: writes into the change set what tells a fresh snapshot (pg_temp.headrace_snapshot) of a table with a key from
-- its mirror: U for rows whose text form changed, I for new keys and, if the snapshot is complete, D for keys that are gone.
-- The snapshot is named in subqueries, because Citus joins a table of this session with a distributed one only so.
create or replace function mrr.compare_keyed(p_table etl.source_table, p_batch bigint, p_is_complete boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := (p_table).mirror;
  v_columns constant text := etl.column_list(v_id, '%1$I');
  v_same_key constant text := etl.key_list(v_id, 's.%1$I = m.%1$I', ' and ');
  v_first_key constant text := quote_ident((p_table).key_columns[1]);
begin
  if p_is_complete then
    execute format(
      'insert into stg.%I (%s, _hr_batch, _hr_op)'
      ' select %s, $1, ''D'' from mrr.%I m where not exists (select 1 from (select x.* from pg_temp.headrace_snapshot x) s where %s)',
      v_mirror || '_changes', v_columns, etl.column_list(v_id, 'm.%1$I'), v_mirror, v_same_key)
      using p_batch;
  end if;
  execute format(
    'insert into stg.%I (%s, _hr_batch, _hr_op)'
    ' select %s, $1, case when m.%I is null then ''I'' else ''U'' end::"char"'
    ' from (select x.* from pg_temp.headrace_snapshot x) s left join mrr.%I m on %s'
    ' where m.%s is null or %s <> %s',
    v_mirror || '_changes', v_columns, etl.column_list(v_id, 's.%1$I'), (p_table).key_columns[1],
    v_mirror, v_same_key, v_first_key, etl.row_image(v_id, 's'), etl.row_image(v_id, 'm'))
    using p_batch;
end
$$;

comment on function mrr.compare_keyed(etl.source_table, bigint, boolean) is
  'Writes the change set between pg_temp.headrace_snapshot and the mirror of a table with a key; p_is_complete: rows that the snapshot lacks are deleted. Internal.';
revoke all on function mrr.compare_keyed(etl.source_table, bigint, boolean) from public;
