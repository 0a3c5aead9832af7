-- Contract: capture mode watermark. Reads the rows at or above a safe mark, less the overlap, and writes those that differ from
-- the mirror into the change set; rows that merely overlap are no change. The safe mark is that of the newest batch all of
-- whose open transactions had ended when the last batch was read: what came to light since then began after it. (Had they
-- ended only now, their rows below the mark would be in neither read.)
-- Deleted rows are not seen; a full comparison finds them.
create or replace function mrr.capture_watermark(p_table etl.source_table, p_batch bigint, p_run_id bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (p_table).source_table_id;
  v_mirror constant text := (p_table).mirror;
  v_column constant text := (p_table).watermark_column;
  v_type constant regtype := (select c.mirror_type::regtype from etl.source_column c where c.source_table_id = v_id and c.column_name = v_column);
  v_mark text;
  v_condition text := '';
  v_rows bigint;
begin
  select w.mark into v_mark
  from etl.watermark w
  where w.source_table_id = v_id and pg_snapshot_xmax(w.snapshot::pg_snapshot) <= (
    select pg_snapshot_xmin(x.snapshot::pg_snapshot) from etl.watermark x where x.source_table_id = v_id order by x.batch_id desc limit 1)
  order by w.batch_id desc
  limit 1;
  if v_mark is not null then
    execute format('select ($1::%1$s%2$s)::text', v_type,
      coalesce(' - ' || quote_literal((p_table).watermark_overlap) || case when v_type::text ~ '^(timestamp|date)' then '::interval' else '' end, '')) into v_mark using v_mark;
    v_condition := format('%I >= %L', v_column, v_mark);
  end if;

  execute format('create temporary table headrace_snapshot on commit drop as select %s from mrr.%I with no data', etl.column_list(v_id, '%1$I'), v_mirror);
  v_rows := mrr.read_source(p_table, p_run_id, 'pg_temp.headrace_snapshot', p_condition => v_condition);
  analyze pg_temp.headrace_snapshot;
  if (p_table).key_columns is null then
    perform mrr.compare_keyless(p_table, p_batch, v_condition);
  else
    perform mrr.compare_keyed(p_table, p_batch, false);
  end if;
  perform mrr.note_watermark(p_table, p_batch, 'pg_temp.headrace_snapshot');
  drop table pg_temp.headrace_snapshot;
  return v_rows;
end
$$;

comment on function mrr.capture_watermark(etl.source_table, bigint, bigint) is
  'Captures one table from its watermark on; writes the change set and returns the rows read. Needs the open snapshot. Internal.';
revoke all on function mrr.capture_watermark(etl.source_table, bigint, bigint) from public;
