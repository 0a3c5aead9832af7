-- Contract: judges all quarantined rows of a pipeline (null: of all) once more, after a rule changed: they go back into a
-- change set as they were captured and are published; what is still unfit returns to quarantine. Fit rows get the date of
-- their first capture.
-- What waits is published first, since it may delete rows that are in quarantine. If publishing fails nothing is lost: the
-- rows stay in quarantine, or wait in the change set for the next run.
create or replace procedure etl.replay_quarantine(pipeline text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_pipeline text;
  v_table record;
  v_run_id bigint;
  v_batch bigint;
  v_rows bigint;
  v_outcome etl.outcome;
begin
  if replay_quarantine.pipeline is not null then
    perform etl.lock_pipeline(replay_quarantine.pipeline);
  end if;
  for v_pipeline in
    select distinct t.pipeline from etl.source_table t
    where t.pipeline = coalesce(replay_quarantine.pipeline, t.pipeline) and exists (select from stg.quarantine q where q.mirror = t.mirror)
    order by 1
  loop
    v_outcome := null;
    v_run_id := etl.open_run(v_pipeline, 'replay_quarantine', false, false, true);
    continue when v_run_id is null;
    loop
      call dwh.publish(v_pipeline, v_run_id, v_outcome);
      exit when ((v_outcome).failure).sqlstate is not null or not (v_outcome).more;
    end loop;
    if ((v_outcome).failure).sqlstate is not null then
      perform etl.close_run(v_run_id, v_outcome);
      continue;
    end if;
    insert into etl.batch (pipeline, kind, run_id, captured_at)
    select v_pipeline, 'replay', v_run_id, b.captured_at
    from etl.batch b where b.pipeline = v_pipeline order by b.batch_id desc limit 1
    returning batch_id into strict v_batch;
    for v_table in select t.source_table_id as id, t.mirror from etl.source_table t where t.pipeline = v_pipeline order by 1 loop
      execute format(
        'with released as (delete from stg.quarantine q where q.mirror = $2 returning q.*),'
        ' written as (insert into stg.%3$I (%1$s, _hr_batch, _hr_op, _hr_origin) select %2$s, $1, ''I'', q.batch_id'
        '             from released q cross join lateral jsonb_populate_record(null::stg.%3$I, q.row_data) r order by q.quarantine_id returning 1)'
        ' select count(*) from written',
        etl.column_list(v_table.id, '%1$I'), etl.column_list(v_table.id, 'r.%1$I'), v_table.mirror || '_changes')
        into v_rows using v_batch, v_table.mirror;
      insert into etl.batch_table (batch_id, mirror, rows_read, rows_inserted, rows_updated, rows_deleted)
      select v_batch, v_table.mirror, v_rows, v_rows, 0, 0 where v_rows > 0;
      update etl.batch b set rows_changed = b.rows_changed + v_rows where b.batch_id = v_batch;
    end loop;
    call dwh.publish(v_pipeline, v_run_id, v_outcome);
    perform etl.close_run(v_run_id, v_outcome);
  end loop;
end
$$;

comment on procedure etl.replay_quarantine(text) is
  'Judges the quarantined rows of a pipeline, or of all with null, once more and publishes the fit ones. Raises 42704, 55P03 while a run of the named pipeline is at work. For headrace_runner.';
revoke all on procedure etl.replay_quarantine(text) from public;
grant execute on procedure etl.replay_quarantine(text) to headrace_runner;
