-- Contract: the reports of a phase that failed: the last step failed or was canceled, what came before it in the phase
-- was rolled back with it.
create or replace function etl.fail_steps(p_steps etl.step_report[], p_sqlstate text)
returns etl.step_report[]
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select array_agg((s.phase, s.step, s.attempt, s.batch_id,
                    case when s.number < cardinality(p_steps) then 'rolled_back'
                         when p_sqlstate = '57014' then 'canceled' else 'failed' end,
                    s.rows_read, s.rows_inserted, s.rows_updated, s.rows_deleted, s.rows_quarantined,
                    s.started_at, coalesce(s.finished_at, clock_timestamp()))::etl.step_report order by s.number)
  from unnest(p_steps) with ordinality
    s (phase, step, attempt, batch_id, status, rows_read, rows_inserted, rows_updated, rows_deleted, rows_quarantined, started_at, finished_at, number)
$$;

comment on function etl.fail_steps(etl.step_report[], text) is
  'The step reports of a phase that failed with p_sqlstate: the last failed (57014: canceled), those before it rolled_back. Internal.';
revoke all on function etl.fail_steps(etl.step_report[], text) from public;
