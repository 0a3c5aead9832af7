-- Contract: the report of a step that begins now. Reports live in variables, which a rollback does not touch, until the
-- run is closed.
create or replace function etl.begin_step(p_phase text, p_step text, p_batch bigint, p_attempt integer default 1)
returns etl.step_report
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select (p_phase, p_step, p_attempt, p_batch, 'failed', 0, 0, 0, 0, 0, clock_timestamp(), null)::etl.step_report
$$;

comment on function etl.begin_step(text, text, bigint, integer) is
  'The report of a step of phase p_phase that begins now on batch p_batch, in attempt p_attempt of its run. Internal.';
revoke all on function etl.begin_step(text, text, bigint, integer) from public;
