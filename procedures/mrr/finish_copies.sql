-- requires: dwh.make_place_index
-- Contract: after the publish of a copy, makes the index of its mirror, which capture needs and dwh does not, and sets outcome.more
-- where a slot has what happened since; then the index that the facts still lack. What goes wrong is logged only: nothing is
-- lost, and the next run makes the indexes first.
create or replace function mrr.finish_copies(p_pipeline text, p_run_id bigint, p_outcome etl.outcome)
returns etl.outcome
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_unfinished constant boolean := exists (select from mrr.unfinished_copies(p_pipeline));
  v_error etl.failure;
begin
  p_outcome.more := false;
  if exists (select from etl.source_table t where t.pipeline = p_pipeline and stg.is_copy(t.mirror)) then
    return p_outcome;
  end if;
  begin
    if v_is_unfinished then
      perform mrr.settle_copies(p_pipeline);
    end if;
    perform dwh.make_place_index(p_pipeline, p_run_id);
  exception when query_canceled or others then
    get stacked diagnostics
      v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
      v_error.hint = pg_exception_hint, v_error.context = pg_exception_context;
    v_error.routine := 'mrr.finish_copies';
    v_error.step := 'indexes of the copy';
  end;
  if v_error.sqlstate is not null then
    perform etl.log_error(p_run_id, v_error);
  else
    p_outcome.more := v_is_unfinished and exists (select from etl.source_table t where t.pipeline = p_pipeline and t.capture = 'log' and t.enabled);
  end if;
  return p_outcome;
end
$$;

comment on function mrr.finish_copies(text, bigint, etl.outcome) is
  'Makes the index of mirrors whose first copy has been published, and the one that the facts lack; returns the outcome, with more set where a slot is to be read on. For headrace_runner, through etl.run().';
revoke all on function mrr.finish_copies(text, bigint, etl.outcome) from public;
grant execute on function mrr.finish_copies(text, bigint, etl.outcome) to headrace_runner;
