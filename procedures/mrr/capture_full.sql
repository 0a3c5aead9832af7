-- Contract: capture mode full. Writes the change set of one table and batch by comparing the source's snapshot with the
-- mirror, and returns the rows read. An empty mirror needs no comparison: the snapshot is the change set, and a large one
-- without a key goes straight into the mirror, which then is the change set (mrr.begin_copy). If the table was mirrored before and removed, what it brought into dwh then is withdrawn by the same change set (T).
create or replace function mrr.capture_full(p_table etl.source_table, p_batch bigint, p_run_id bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := (p_table).mirror;
  v_is_empty boolean;
  v_rows bigint;
begin
  perform etl.show_progress(p_run_id, 'c', v_id, 0, 0, clock_timestamp());
  execute format('select not exists (select 1 from mrr.%I limit 1)', v_mirror) into v_is_empty;
  if v_is_empty then
    if (p_table).copied_at is null and exists (select from etl.batch_table t where t.mirror = v_mirror and t.batch_id < p_batch) then
      execute format('insert into stg.%I (_hr_batch, _hr_op) values ($1, ''T'')', v_mirror || '_changes') using p_batch;
    end if;
    if mrr.begin_copy(p_table) then
      v_rows := mrr.read_source(p_table, p_run_id, format('mrr.%I', v_mirror), p_batch);
      perform stg.show_copy(v_mirror, p_batch);
      return v_rows;
    end if;
    return mrr.read_source(p_table, p_run_id, format('stg.%I', v_mirror || '_changes'), p_batch);
  end if;
  execute format('create temporary table headrace_snapshot on commit drop as select %s from mrr.%I with no data',
    etl.column_list(v_id, '%1$I'), v_mirror);
  v_rows := mrr.read_source(p_table, p_run_id, 'pg_temp.headrace_snapshot');
  analyze pg_temp.headrace_snapshot;
  if (p_table).key_columns is null then
    perform mrr.compare_keyless(p_table, p_batch);
  else
    perform mrr.compare_keyed(p_table, p_batch, true);
  end if;
  drop table pg_temp.headrace_snapshot;
  return v_rows;
end
$$;

comment on function mrr.capture_full(etl.source_table, bigint, bigint) is
  'Captures one table by comparing a fresh snapshot with its mirror; writes the change set and returns the rows read. Internal.';
revoke all on function mrr.capture_full(etl.source_table, bigint, bigint) from public;
