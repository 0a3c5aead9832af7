-- Contract: changes the capture mode of a mirrored table, with the checks that registering it would make; the next capture
-- compares it with its source in full, so nothing is lost, doubled or dated anew. Leaving mode log gives up the slot with the
-- last table that used it.
create or replace procedure etl.set_capture(
  source text, source_table text, capture text, inserts_only boolean default false,
  watermark text default null, overlap text default null, full_every interval default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_table etl.source_table := etl.find_table(set_capture.source, set_capture.source_table);
begin
  perform etl.lock_pipeline(v_table.pipeline);
  if coalesce(set_capture.capture, '') not in ('full', 'log', 'watermark') or (set_capture.capture = 'watermark') <> (set_capture.watermark is not null)
     or set_capture.inserts_only and set_capture.capture <> 'log' then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%s of source %s cannot be captured as asked', set_capture.source_table, set_capture.source),
      hint = 'capture is full, log or watermark; watermark names a column for capture => ''watermark'' and only for it; inserts_only is for log.';
  end if;
  if v_table.capture = 'log' and set_capture.capture <> 'log' then
    perform etl.drop_capture(v_table);
  end if;
  update etl.source_table t
  set capture = set_capture.capture, inserts_only = set_capture.inserts_only, watermark_column = set_capture.watermark,
      watermark_overlap = set_capture.overlap, full_every = set_capture.full_every, needs_resync = t.copied_at is not null,
      copy_snapshot = null, copy_lsn = null, partition_tree = null
  where t.source_table_id = v_table.source_table_id
  returning t.* into v_table;
  delete from etl.watermark w where w.source_table_id = v_table.source_table_id;
  perform etl.connect_source(v_table.source);
  if v_table.capture = 'log' then
    perform etl.prepare_log(v_table);
  elsif v_table.capture = 'watermark' then
    perform etl.check_watermark(v_table);
  end if;
  perform etl.disconnect_source(v_table.source);
end
$$;

comment on procedure etl.set_capture(text, text, text, boolean, text, text, interval) is
  'Changes the capture mode of a mirrored table; parameters as of etl.add_table(). Raises 42704, 22023, 55P03, 55000 where the source is not ready for log. For the administrator (member of headrace_owner).';
revoke all on procedure etl.set_capture(text, text, text, boolean, text, text, interval) from public;
