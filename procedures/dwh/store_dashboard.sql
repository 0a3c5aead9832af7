-- requires: dwh.dashboard
-- Contract: a callback for etl.set_callbacks(): keeps a copy of the dashboard in dwh.dashboard_copy, as of the run just closed.
-- Readers of the copy go on seeing the old one until it is committed.
create or replace procedure dwh.store_dashboard(pipeline text, run_id bigint, status text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  insert into dwh.dashboard_copy (content, run_id, made_at)
  select dwh.dashboard(), store_dashboard.run_id, v_now
  on conflict (one) do update set content = excluded.content, run_id = excluded.run_id, made_at = excluded.made_at;
  raise debug '%: the dashboard was stored after run % (%)', store_dashboard.pipeline, store_dashboard.run_id, store_dashboard.status;
end
$$;

comment on procedure dwh.store_dashboard(text, bigint, text) is
  'Keeps a copy of the dashboard in dwh.dashboard_copy. A callback: call etl.set_callbacks(''sales'', on_success => ''dwh.store_dashboard''). For headrace_owner.';
revoke all on procedure dwh.store_dashboard(text, bigint, text) from public;
