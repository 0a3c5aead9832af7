-- Contract: compares mirrors with their source as multisets of rows, in hash buckets computed on both sides, so that only
-- buckets that differ are read row by row; one table, or all that are captured by log (null). The result is in
-- etl.reconciliation, a sample of the rows in etl.difference. repair rebuilds a mirror that differs, and what is loaded from it.
-- Exact while the source is being written to: changes that the source's snapshot saw and the slot still holds are counted in.
-- For tables of other modes changes since the last capture count as differences.
-- Invariant: only commits, rolls back and calls, as etl.run() and for the same reasons.
create or replace procedure etl.reconcile(source text default null, source_table text default null, repair boolean default false)
language plpgsql
as $$
declare
  v_target record;
  v_run_id bigint;
  v_outcome etl.outcome;
  v_error etl.failure;
  v_different bigint;
  v_application constant text := pg_catalog.current_setting('application_name');
begin
  commit; -- fails in a transaction block before anything is held
  set local search_path = pg_catalog, pg_temp;
  for v_target in select t.* from etl.reconcile_targets(reconcile.source, reconcile.source_table) t loop
    v_outcome := null;
    v_different := 0;
    set local search_path = pg_catalog, pg_temp;
    v_run_id := etl.open_run(v_target.pipeline, 'reconcile', true, false, true, etl.started_from());
    commit;
    set local search_path = pg_catalog, pg_temp;
    continue when v_run_id is null;
    call mrr.reconcile(v_target.source_table_id, v_run_id, v_outcome, v_different);
    if ((v_outcome).failure).sqlstate is null then
      commit;
    else
      rollback;
      v_error := coalesce(v_error, (v_outcome).failure);
    end if;
    set local search_path = pg_catalog, pg_temp;
    perform pg_catalog.set_config('application_name', v_application, false);
    perform etl.close_run(v_run_id, v_outcome);
    perform etl.release_run(v_target.pipeline);
    commit;
    set local search_path = pg_catalog, pg_temp;
    if v_different > 0 then
      raise warning '% differs from its source in % rows', v_target.relation, v_different
        using hint = pg_catalog.format('select d.* from etl.difference d join etl.reconciliation r using (reconciliation_id) where r.run_id = %s;', v_run_id);
      if repair then
        call etl.rebuild(v_target.relation);
      end if;
    end if;
  end loop;
  if v_error.sqlstate is not null then
    raise exception using
      errcode = v_error.sqlstate,
      message = pg_catalog.format('not everything could be compared: %s', v_error.message),
      hint = 'The log has it: select * from etl.procedure_errors order by error_id desc;';
  end if;
end
$$;

comment on procedure etl.reconcile(text, text, boolean) is
  'Compares the mirror of a table, or with null of every table captured by log, with its source; repair: rebuild it where it differs. Result in etl.reconciliation and etl.difference. Raises 42704, or the SQLSTATE of what failed. For headrace_runner.';
revoke all on procedure etl.reconcile(text, text, boolean) from public;
grant execute on procedure etl.reconcile(text, text, boolean) to headrace_runner;
