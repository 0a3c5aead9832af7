-- Contract: whether a phase failed with what another attempt within the run may well not meet: a serialization failure or a
-- deadlock (class 40), or a lock timeout (55P03); and attempts are left.
create or replace function etl.is_worth_retrying(p_outcome etl.outcome)
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce((((p_outcome).failure).sqlstate like '40%' or ((p_outcome).failure).sqlstate = '55P03')
                  and coalesce((p_outcome).attempt, 1) <= s.retry_attempts, false)
  from etl.settings s
$$;

comment on function etl.is_worth_retrying(etl.outcome) is
  'Whether a failed phase is to be tried again within its run. For headrace_runner, through etl.run().';
revoke all on function etl.is_worth_retrying(etl.outcome) from public;
grant execute on function etl.is_worth_retrying(etl.outcome) to headrace_runner;
