-- Contract: makes the change set of one mirror and batch say "everything anew": one T, then every row of the mirror as I
-- with the batch that first captured it, so that nothing is re-dated. Replaces what the batch had for that mirror, also if
-- that is a copy that waits.
create or replace function stg.write_mirror(p_mirror text, p_batch bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (select t.source_table_id from etl.source_table t where t.mirror = p_mirror);
  v_rows bigint;
begin
  if stg.is_copy(p_mirror) then
    perform stg.end_copy(p_mirror, false);
  end if;
  execute format('delete from stg.%I where _hr_batch = $1', p_mirror || '_changes') using p_batch;
  execute format('insert into stg.%I (_hr_batch, _hr_op) values ($1, ''T'')', p_mirror || '_changes') using p_batch;
  execute format(
    'with written as (insert into stg.%I (%s, _hr_batch, _hr_op, _hr_origin) select %s, $1, ''I'', m._hr_batch from mrr.%I m%s returning 1)'
    ' select count(*) from written',
    p_mirror || '_changes', etl.column_list(v_id, '%1$I'), etl.column_list(v_id, 'm.%1$I'), p_mirror,
    case when etl.key_list(v_id, '%1$I') is null then ' order by m._hr_id' else '' end)
    into v_rows using p_batch;
  execute format('analyze stg.%I', p_mirror || '_changes');
  insert into etl.batch_table (batch_id, mirror, rows_read, rows_inserted, rows_updated, rows_deleted)
  values (p_batch, p_mirror, v_rows, v_rows, 0, 0)
  on conflict (batch_id, mirror) do update
  set rows_read = excluded.rows_read, rows_inserted = excluded.rows_inserted, rows_updated = 0, rows_deleted = 0;
  update etl.batch b
  set rows_changed = (select sum(t.rows_inserted + t.rows_updated + t.rows_deleted) + 1 from etl.batch_table t where t.batch_id = p_batch)
  where b.batch_id = p_batch;
end
$$;

comment on function stg.write_mirror(text, bigint) is
  'Writes T and all rows of mirror p_mirror as the change set of batch p_batch. Internal.';
revoke all on function stg.write_mirror(text, bigint) from public;
