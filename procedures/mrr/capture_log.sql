-- Contract: capture mode log, for all log tables of a pipeline at one source together: takes the transactions that the
-- slot holds between the end of the last batch and the fence into change sets, brings the mirrors up to them, and stores
-- the position, all in the caller's transaction. The slot itself is advanced after the commit (etl.acknowledge), so a crash
-- replays or skips, never loses. The caller has begun the step of reading the slot. is_more: more waits below the fence.
create or replace function mrr.capture_log(p_pipeline text, p_source text, p_batch bigint, p_run_id bigint, inout p_steps etl.step_report[], out is_more boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slot etl.slot;
  v_table etl.source_table;
  v_stream record;
  v_changes record;
  v_counts etl.row_counts;
  v_fence pg_lsn;
begin
  select s.* into strict v_slot from etl.slot s where s.pipeline = p_pipeline and s.source = p_source;
  select s.lsn into strict v_fence from etl.batch_source s where s.batch_id = p_batch and s.source = p_source;
  v_fence := greatest(v_fence, v_slot.position);
  select r.* into v_stream
  from mrr.read_slot(p_source, v_slot.slot_name, v_slot.position, v_fence, p_run_id,
                     (select min(t.source_table_id) from etl.source_table t where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log'),
                     (select s.max_changes from etl.settings s)) r;
  is_more := v_stream.is_more;
  v_counts := etl.counts(p_read => (select coalesce(sum(k.rows), 0)::bigint from pg_temp.headrace_kind k));
  p_steps := etl.end_step(p_steps, v_counts);

  if v_counts.rows_read > 0 then
    for v_table in
      select t.* from etl.source_table t
      where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log' and t.enabled order by t.source_table_id
    loop
      p_steps := p_steps || etl.begin_step('capture', v_table.mirror, p_batch, p_steps[cardinality(p_steps)].attempt);
      select c.* into v_changes from mrr.collect_changes(v_table, p_batch) c;
      if v_changes.is_truncated then
        execute format('insert into stg.%I (_hr_batch, _hr_op) values ($1, ''T'')', v_table.mirror || '_changes') using p_batch;
        execute format('delete from mrr.%I', v_table.mirror);
      end if;
      if v_table.key_columns is null then
        perform mrr.net_keyless(v_table, p_batch);
      else
        perform mrr.net_keyed(v_table, p_batch, v_changes.is_truncated);
      end if;
      if v_changes.rows_read >= 1000 then
        execute format('analyze stg.%I', v_table.mirror || '_changes');
      end if;
      v_counts := mrr.apply_changes(v_table, p_batch);
      v_counts.rows_read := v_changes.rows_read;
      drop table pg_temp.headrace_log;
      if v_counts.rows_inserted + v_counts.rows_updated + v_counts.rows_deleted > 0 then
        insert into etl.batch_table (batch_id, mirror, rows_read, rows_inserted, rows_updated, rows_deleted)
        values (p_batch, v_table.mirror, v_counts.rows_read, v_counts.rows_inserted, v_counts.rows_updated, v_counts.rows_deleted);
      end if;
      p_steps := etl.end_step(p_steps, v_counts);
      if v_changes.has_new_columns then
        update etl.source_table t set needs_resync = true where t.source_table_id = v_table.source_table_id;
      end if;
    end loop;
  end if;
  drop table pg_temp.headrace_stream, pg_temp.headrace_kind;

  update etl.source_table t set copy_snapshot = null, copy_lsn = null
  where t.pipeline = p_pipeline and t.source = p_source and t.copy_lsn <= v_stream.batch_end;
  is_more := is_more or exists (
    select from etl.source_table t
    where t.pipeline = p_pipeline and t.source = p_source and t.enabled and (t.copy_lsn is not null or t.capture = 'log' and t.needs_resync));
  update etl.slot s
  set position = v_stream.batch_end, read_at = b.captured_at, lag_bytes = greatest(v_fence - v_stream.batch_end, 0)
  from etl.batch_source b
  where s.pipeline = p_pipeline and s.source = p_source and b.batch_id = p_batch and b.source = p_source;
end
$$;

comment on function mrr.capture_log(text, text, bigint, bigint, etl.step_report[]) is
  'Captures the log tables of a pipeline at one source into batch p_batch; returns the steps with its own and whether more waits. Needs the open snapshot. Internal.';
revoke all on function mrr.capture_log(text, text, bigint, bigint, etl.step_report[]) from public;
