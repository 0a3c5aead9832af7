-- Contract: captures one table into batch p_batch by itself, by comparing it with a fresh snapshot or by its watermark, and
-- brings the mirror up to the change set. A log table comes here for its copy or comparison only: what its slot delivers is
-- then taken up where this snapshot ends. Where a part of the warehouse was restored (needs_rebuild), the change set says
-- everything anew, since nobody knows what of the mirror dwh has.
create or replace function mrr.capture_table(p_table etl.source_table, p_batch bigint, p_run_id bigint)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_full constant boolean := (p_table).capture <> 'watermark' or mrr.is_full_due(p_table);
  v_read bigint;
  v_counts etl.row_counts;
begin
  v_read := case when v_is_full then mrr.capture_full(p_table, p_batch, p_run_id)
                 else mrr.capture_watermark(p_table, p_batch, p_run_id) end;
  if stg.is_copy((p_table).mirror) and v_read = 0 then
    perform stg.end_copy((p_table).mirror, false);
  end if;
  if stg.is_copy((p_table).mirror) then
    execute format('analyze mrr.%I (_hr_batch)', (p_table).mirror);
    execute format('select count(*) from stg.%I', (p_table).mirror || '_written') into v_counts.rows_deleted;
    v_counts := etl.counts(p_inserted => v_read, p_deleted => v_counts.rows_deleted);
  else
    if v_read >= 1000 then
      execute format('analyze stg.%I', (p_table).mirror || '_changes');
    end if;
    v_counts := mrr.apply_changes(p_table, p_batch);
  end if;
  v_counts.rows_read := v_read;
  if v_counts.rows_inserted + v_counts.rows_updated + v_counts.rows_deleted > 0 then
    insert into etl.batch_table (batch_id, mirror, rows_read, rows_inserted, rows_updated, rows_deleted)
    values (p_batch, (p_table).mirror, v_read, v_counts.rows_inserted, v_counts.rows_updated, v_counts.rows_deleted);
  end if;
  if v_is_full then
    update etl.source_table t
    set copied_at = coalesce(t.copied_at, clock_timestamp()), full_at = clock_timestamp(), needs_resync = false, needs_rebuild = false
    where t.source_table_id = (p_table).source_table_id;
    if (p_table).needs_rebuild then
      perform stg.write_mirror((p_table).mirror, p_batch);
    end if;
  end if;
  if v_is_full and (p_table).capture = 'watermark' then
    perform mrr.note_watermark(p_table, p_batch, format('mrr.%I', (p_table).mirror));
  end if;
  if (p_table).capture = 'log' then
    update etl.source_table t
    set copy_snapshot = s.snapshot, copy_lsn = s.lsn
    from etl.batch_source s
    where t.source_table_id = (p_table).source_table_id and s.batch_id = p_batch and s.source = (p_table).source;
  end if;
  return v_counts;
end
$$;

comment on function mrr.capture_table(etl.source_table, bigint, bigint) is
  'Captures one table into batch p_batch by itself and returns what it read and changed. Needs the open snapshot. Internal.';
revoke all on function mrr.capture_table(etl.source_table, bigint, bigint) from public;
