-- Contract: logs the error of an attempt that failed, pauses (with jitter, twice as long each time), and returns the outcome
-- for the next attempt: its steps so far kept, its failure cleared.
create or replace function etl.begin_attempt(p_run_id bigint, p_outcome etl.outcome)
returns etl.outcome
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_attempt constant integer := coalesce((p_outcome).attempt, 1);
  v_pause constant interval := (select s.retry_pause from etl.settings s);
begin
  perform etl.log_error(p_run_id, (p_outcome).failure);
  raise notice 'run %: attempt % failed and is repeated: %', p_run_id, v_attempt, ((p_outcome).failure).message;
  p_outcome.failure := null;
  p_outcome.attempt := v_attempt + 1;
  perform pg_sleep((extract(epoch from v_pause) * 2 ^ (v_attempt - 1) * (0.5 + random()))::double precision);
  return p_outcome;
end
$$;

comment on function etl.begin_attempt(bigint, etl.outcome) is
  'Logs a failed attempt of run p_run_id, pauses, and returns the outcome for the next one. For headrace_runner, through etl.run().';
revoke all on function etl.begin_attempt(bigint, etl.outcome) from public;
grant execute on function etl.begin_attempt(bigint, etl.outcome) to headrace_runner;
