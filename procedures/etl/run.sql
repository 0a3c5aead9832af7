-- Contract: runs one pipeline, or all in turn (null): open, capture, publish, close. Each phase commits by itself, so it
-- must be called outside a transaction block; by hand and by pg_cron it does and logs the same.
-- Invariant: this procedure only commits, rolls back and calls. It commits, so it can be neither SECURITY DEFINER nor have
-- a SET clause: the search_path is set anew in each transaction, and every name is qualified.
-- A run that finds nothing to do (etl.prepare_slots) is closed at once.
-- A first copy that waits is published before more is captured, and then the run goes on.
-- A phase, or the making of a slot, that met a serialization failure, deadlock or lock timeout is tried again a few times.
-- A job of all pipelines leaves those to their own that have one.
-- Errors: ends with the SQLSTATE of the first pipeline that failed, after all have had their turn.
create or replace procedure etl.run(pipeline text default null, dry_run boolean default false, force boolean default false)
language plpgsql
as $$
declare
  v_pipeline text;
  v_run_id bigint;
  v_outcome etl.outcome;
  v_error etl.failure;
  v_failed text;
  v_failed_run bigint;
  v_application constant text := pg_catalog.current_setting('application_name');
begin
  commit; -- fails in a transaction block before anything is held
  set local search_path = pg_catalog, pg_temp;
  foreach v_pipeline in array etl.runnable(run.pipeline) loop
    set local search_path = pg_catalog, pg_temp;
    continue when run.pipeline is null and etl.has_job(v_pipeline) and etl.started_from() = 'pg_cron';
    v_outcome := null;
    v_run_id := etl.open_run(v_pipeline, 'run', true, dry_run, force, etl.started_from());
    commit;
    set local search_path = pg_catalog, pg_temp;
    continue when v_run_id is null;
    loop
      v_outcome := etl.prepare_slots(v_pipeline, v_run_id, v_outcome);
      commit;
      set local search_path = pg_catalog, pg_temp;
      exit when dry_run or not etl.is_worth_retrying(v_outcome);
      v_outcome := etl.begin_attempt(v_run_id, v_outcome);
      commit;
      set local search_path = pg_catalog, pg_temp;
    end loop;
    if (v_outcome).more is null then
      perform etl.follow_types(v_pipeline);
      commit;
      set local search_path = pg_catalog, pg_temp;
      if not dry_run and ((v_outcome).failure).sqlstate is null then
        v_outcome := etl.make_indexes(v_pipeline, v_run_id, v_outcome);
        commit;
      end if;
    end if;

    while (v_outcome).more is distinct from false loop
      while ((v_outcome).failure).sqlstate is null loop
        set local search_path = pg_catalog, pg_temp;
        call mrr.capture(v_pipeline, v_run_id, v_outcome);
        if not dry_run and etl.is_worth_retrying(v_outcome) then
          rollback;
          set local search_path = pg_catalog, pg_temp;
          v_outcome := etl.begin_attempt(v_run_id, v_outcome);
          commit;
          continue;
        end if;
        exit when dry_run or ((v_outcome).failure).sqlstate is not null;
        commit;
        set local search_path = pg_catalog, pg_temp;
        perform etl.acknowledge(v_pipeline, v_run_id);
        perform etl.prepare_partitions(v_pipeline);
        commit;
        set local search_path = pg_catalog, pg_temp;
        exit when not (v_outcome).more or etl.is_enough_waiting(v_pipeline);
      end loop;
      while ((v_outcome).failure).sqlstate is null loop
        set local search_path = pg_catalog, pg_temp;
        call dwh.publish(v_pipeline, v_run_id, v_outcome);
        if not dry_run and etl.is_worth_retrying(v_outcome) then
          rollback;
          set local search_path = pg_catalog, pg_temp;
          v_outcome := etl.begin_attempt(v_run_id, v_outcome);
          commit;
          continue;
        end if;
        exit when dry_run or ((v_outcome).failure).sqlstate is not null or not (v_outcome).more;
        commit;
      end loop;
      if dry_run or ((v_outcome).failure).sqlstate is not null then
        rollback;
        exit;
      end if;
      commit;
      set local search_path = pg_catalog, pg_temp;
      v_outcome := mrr.finish_copies(v_pipeline, v_run_id, v_outcome);
      commit;
    end loop;

    set local search_path = pg_catalog, pg_temp;
    perform pg_catalog.set_config('application_name', v_application, false);
    perform etl.close_run(v_run_id, v_outcome);
    commit;
    set local search_path = pg_catalog, pg_temp;
    perform etl.call_back(v_run_id);
    perform etl.release_run(v_pipeline);
    commit;
    if ((v_outcome).failure).sqlstate is not null and v_failed is not null then
      raise warning 'pipeline % failed as well: %', v_pipeline, ((v_outcome).failure).message;
    elsif ((v_outcome).failure).sqlstate is not null then
      v_failed := v_pipeline;
      v_failed_run := v_run_id;
      v_error := (v_outcome).failure;
    end if;
  end loop;

  if v_failed is not null then
    raise exception using
      errcode = v_error.sqlstate,
      message = pg_catalog.format('pipeline %s %s in step %s: %s', v_failed,
        case v_error.sqlstate when '57014' then 'was canceled' else 'failed' end, v_error.step, v_error.message),
      detail = pg_catalog.concat_ws(e'\n', nullif(v_error.detail, ''), pg_catalog.format('It was run %s.', v_failed_run)),
      hint = pg_catalog.concat_ws(e'\n', nullif(v_error.hint, ''),
        pg_catalog.format('The log has it: select * from etl.procedure_errors where run_id = %s;', v_failed_run));
  end if;
end
$$;

comment on procedure etl.run(text, boolean, boolean) is
  'Runs a pipeline, or all in turn with null: captures the source''s changes and publishes them in dwh. dry_run: do everything, report it, roll it back. force: run although the pipeline is paused or backs off. Ends with the SQLSTATE of the first failure; 42704 for an unknown pipeline, 2D000 inside a transaction block. For headrace_runner.';
revoke all on procedure etl.run(text, boolean, boolean) from public;
grant execute on procedure etl.run(text, boolean, boolean) to headrace_runner;
