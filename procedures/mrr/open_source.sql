-- Contract: makes a source ready for a batch: connects, makes or mends the pipeline's slot if it has log tables there (which
-- must come before the snapshot), opens the snapshot, and follows changed columns of the tables about to be read. Where log
-- tables are to be copied, the batch's WAL position is raised above all that the snapshot saw.
create or replace function mrr.open_source(p_pipeline text, p_source text, p_batch bigint, p_run_id bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table etl.source_table;
  v_remedies text;
begin
  perform etl.take_connection(p_source);
  select string_agg(u.remedy, ' ' order by u.source_table_id) into v_remedies from etl.unpublished_tables(p_pipeline, p_source) u;
  if v_remedies is not null then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('source %s no longer publishes all log tables of pipeline %s', p_source, p_pipeline),
      hint = format('At the source, as its DBA: %s The tables are then compared in full, and nothing is lost.', v_remedies);
  end if;
  if exists (select from etl.source_table t where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log' and t.enabled) then
    perform etl.ensure_slot(p_pipeline, p_source, p_run_id);
  end if;
  perform etl.open_snapshot(p_source, p_batch);
  for v_table in
    select t.* from etl.source_table t where t.pipeline = p_pipeline and t.source = p_source and t.enabled order by t.source_table_id
  loop
    perform etl.follow_columns(v_table);
    if v_table.capture = 'log' then
      perform etl.follow_partitions(v_table);
    end if;
  end loop;
  if exists (select from mrr.parts(p_pipeline, true) p where p.source = p_source and (p.source_table).capture = 'log') then
    update etl.batch_source s set lsn = etl.settled_position(p_source) where s.batch_id = p_batch and s.source = p_source;
  end if;
end
$$;

comment on function mrr.open_source(text, text, bigint, bigint) is
  'Connects to a source for batch p_batch: slot, snapshot, changed columns. Internal.';
revoke all on function mrr.open_source(text, text, bigint, bigint) from public;
