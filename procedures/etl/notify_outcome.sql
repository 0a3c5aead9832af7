-- requires: etl.warehouse_id
-- Contract: tells listeners on channel headrace how a run ended, as one JSON object; delivered with the commit.
create or replace function etl.notify_outcome(p_run_id bigint)
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  select pg_notify('headrace', json_build_object(
    'warehouse', etl.warehouse_id(), 'run_id', r.run_id, 'pipeline', r.pipeline, 'action', r.action, 'status', r.status,
    'started_at', r.started_at, 'finished_at', r.finished_at, 'message', left(r.message, 1000))::text)
  from etl.run_log r
  where r.run_id = p_run_id
$$;

comment on function etl.notify_outcome(bigint) is
  'NOTIFY headrace with a run''s outcome as JSON: warehouse, run_id, pipeline, action, status, started_at, finished_at, message. Internal.';
revoke all on function etl.notify_outcome(bigint) from public;
