-- Contract: makes a mirror, dimension, fact table or aggregate anew from the layer below. First what waits is published;
-- then a mirror is compared with its source, anything else is replayed from its mirrors, and published in one
-- transaction: readers see the old state or the new one. Rows that did not change keep their dates, and a dimension its history.
-- Invariant: only commits, rolls back and calls, as etl.run() and for the same reasons.
create or replace procedure etl.rebuild(relation text)
language plpgsql
as $$
declare
  v_plan record;
  v_run_id bigint;
  v_outcome etl.outcome;
  v_application constant text := pg_catalog.current_setting('application_name');
begin
  commit; -- fails in a transaction block before anything is held
  set local search_path = pg_catalog, pg_temp;
  select p.* into v_plan from etl.rebuild_plan(rebuild.relation) p;
  v_run_id := etl.open_run(v_plan.pipeline, 'rebuild', true, false, true, etl.started_from());
  commit;
  set local search_path = pg_catalog, pg_temp;
  if v_run_id is null then
    raise exception using
      errcode = 'lock_not_available',
      message = pg_catalog.format('%s was not rebuilt: a run of pipeline %s is at work', rebuild.relation, v_plan.pipeline),
      hint = 'Try again when it is done: select * from etl.progress;';
  end if;

  while ((v_outcome).failure).sqlstate is null loop
    call dwh.publish(v_plan.pipeline, v_run_id, v_outcome);
    exit when ((v_outcome).failure).sqlstate is not null;
    commit;
    set local search_path = pg_catalog, pg_temp;
    exit when not (v_outcome).more;
  end loop;
  if v_plan.is_mirror and ((v_outcome).failure).sqlstate is null then
    perform etl.request_resync(v_plan.pipeline, v_plan.mirrors);
    call mrr.capture(v_plan.pipeline, v_run_id, v_outcome);
  end if;
  if ((v_outcome).failure).sqlstate is null then
    perform etl.write_rebuild(v_plan.pipeline, v_plan.mirrors, v_run_id);
    loop
      call dwh.publish(v_plan.pipeline, v_run_id, v_outcome);
      exit when ((v_outcome).failure).sqlstate is not null or not (v_outcome).more;
      commit;
      set local search_path = pg_catalog, pg_temp;
    end loop;
  end if;
  if ((v_outcome).failure).sqlstate is null then
    commit;
  else
    rollback;
  end if;

  set local search_path = pg_catalog, pg_temp;
  perform pg_catalog.set_config('application_name', v_application, false);
  perform etl.close_run(v_run_id, v_outcome);
  perform etl.release_run(v_plan.pipeline);
  commit;
  if ((v_outcome).failure).sqlstate is not null then
    raise exception using
      errcode = ((v_outcome).failure).sqlstate,
      message = pg_catalog.format('%s was not rebuilt: %s', rebuild.relation, ((v_outcome).failure).message),
      hint = 'Nothing was changed. The log has it: select * from etl.procedure_errors order by error_id desc;';
  end if;
end
$$;

comment on procedure etl.rebuild(text) is
  'Makes relation (schema.table: a mirror, or what a step loads) anew from the layer below, without re-dating what did not change; readers are undisturbed. Runs although the pipeline is paused. Raises 42704, 55P03 while a run is at work, or the SQLSTATE of what failed. For headrace_runner.';
revoke all on procedure etl.rebuild(text) from public;
grant execute on procedure etl.rebuild(text) to headrace_runner;
