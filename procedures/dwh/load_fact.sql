-- requires: dwh.insert_facts, dwh.recount_facts
-- Contract: the step that loads a fact table registered by etl.add_fact() for one batch, after its dimensions: adds inferred members,
-- deletes the facts of rows that changed or are gone, and inserts the rows of the batch with the dimensions' versions that
-- were current when each was captured.
-- Invariant: exactly the fit rows of the batch become facts, and each row that is gone takes one with it; else the publish stops.
create or replace function dwh.load_fact(p_batch bigint, p_step etl.step)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fact etl.fact;
  v_counts etl.row_counts := etl.counts();
  v_fit bigint;
  v_is_truncated boolean;
begin
  select f.* into strict v_fact from etl.fact f where f.fact = (p_step).target;
  execute format('select count(*), count(*) filter (where s.op in (''I'', ''U'')), coalesce(bool_or(s.op = ''T''), false) from %s($1) s', v_fact.stage::regproc)
    into v_counts.rows_read, v_fit, v_is_truncated using p_batch;
  perform dwh.infer_members(d.name, v_fact.stage, p_batch) from unnest(v_fact.dimensions) d (name);
  v_counts.rows_deleted := dwh.delete_facts(v_fact, p_batch);
  v_counts.rows_inserted := dwh.insert_facts(v_fact, p_batch);
  if v_counts.rows_inserted <> v_fit then
    raise exception using
      errcode = 'data_exception',
      message = format('batch %s has %s fit rows for %s, but %s found their dimensions'' versions', p_batch, v_fit, v_fact.fact, v_counts.rows_inserted),
      hint = format('Rows of %s were changed by hand; make them anew, each by call etl.rebuild(…).', array_to_string(v_fact.dimensions, ', '));
  end if;
  if v_is_truncated then
    perform dwh.recount_facts(v_fact);
  elsif v_counts.rows_deleted > 0 then
    delete from dwh.facts_by_day d using dwh.facts_by_day n
    where n.fact = v_fact.fact and n.measure = '' and n.total = 0 and d.fact = n.fact and d.captured_on = n.captured_on;
  end if;
  return v_counts;
end
$$;

comment on function dwh.load_fact(bigint, etl.step) is
  'Step: loads the fact table p_step.target from its stage function for batch p_batch. Raises 22000 where a row finds no version of a dimension, or no fact to withdraw. Internal.';
revoke all on function dwh.load_fact(bigint, etl.step) from public;
