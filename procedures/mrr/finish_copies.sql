-- requires: etl.make_indexes
-- Contract: after the publish of a copy, makes the indexes that it has left out (etl.make_indexes), and sets outcome.more where a
-- slot has what happened since the copy.
create or replace function mrr.finish_copies(p_pipeline text, p_run_id bigint, p_outcome etl.outcome)
returns etl.outcome
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_was_unfinished constant boolean := exists (select from mrr.unfinished_copies(p_pipeline));
begin
  p_outcome.more := false;
  if exists (select from etl.source_table t where t.pipeline = p_pipeline and stg.is_copy(t.mirror)) then
    return p_outcome;
  end if;
  p_outcome := etl.make_indexes(p_pipeline, p_run_id, p_outcome);
  p_outcome.more := v_was_unfinished and ((p_outcome).failure).sqlstate is null and not exists (select from mrr.unfinished_copies(p_pipeline))
                    and exists (select from etl.source_table t where t.pipeline = p_pipeline and t.capture = 'log' and t.enabled);
  return p_outcome;
end
$$;

comment on function mrr.finish_copies(text, bigint, etl.outcome) is
  'Makes the indexes that a published first copy has left out; returns the outcome, with more set where a slot is to be read on. For headrace_runner, through etl.run().';
revoke all on function mrr.finish_copies(text, bigint, etl.outcome) from public;
grant execute on function mrr.finish_copies(text, bigint, etl.outcome) to headrace_runner;
