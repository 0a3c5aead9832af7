-- requires: dwh.dashboard_sales, dwh.dashboard_facts, dwh.metric_pipeline, dwh.metric_run, dwh.metric_layer, dwh.metric_quarantine, dwh.metric_error, dwh.metric_check, dwh.metric_backup, dwh.metric_lineage_node, dwh.metric_lineage_edge
-- Contract: everything that the dashboard's page shows, from the metric views: sales, facts of own models, and of the log the newest of each. All of it is
-- of one statement, so of one moment.
create or replace function dwh.dashboard_data()
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  select json_build_object(
    'made_at', clock_timestamp(),
    'database', current_database(),
    'time_zone', (select w.time_zone from etl.warehouse w),
    'samples', (select s.reader_samples from etl.settings s),
    'sales', dwh.dashboard_sales(),
    'facts', dwh.dashboard_facts(),
    'pipelines', (select coalesce(json_agg(p order by p.pipeline), '[]') from dwh.metric_pipeline p),
    'runs', (select coalesce(json_agg(r order by r.run_id desc), '[]')
             from (select x.* from dwh.metric_run x where x.status <> 'skipped' order by x.run_id desc limit 60) r),
    'layers', (select coalesce(json_agg(l order by l.position, l.table_name), '[]') from dwh.metric_layer l),
    'quarantine', (select coalesce(json_agg(q order by q.quarantined_rows desc, q.mirror, q.reason), '[]')
                   from (select x.* from dwh.metric_quarantine x order by x.quarantined_rows desc limit 50) q),
    'errors', (select coalesce(json_agg(e order by e.error_id desc), '[]')
               from (select x.* from dwh.metric_error x order by x.error_id desc limit 20) e),
    'checks', (select coalesce(json_agg(c order by c.status = 'failed' desc nulls last, c.status = 'warned' desc nulls last, c.pipeline, c.check_name), '[]')
               from dwh.metric_check c),
    'backups', (select coalesce(json_agg(b order by b.started_at desc), '[]')
                from (values ('logical'), ('physical'), ('verify'), ('restore')) k (kind)
                cross join lateral (select x.* from dwh.metric_backup x where x.kind = k.kind order by x.backup_id desc limit 5) b),
    'nodes', (select coalesce(json_agg(n order by n.node), '[]') from dwh.metric_lineage_node n),
    'edges', (select coalesce(json_agg(e order by e.from_node, e.to_node), '[]') from dwh.metric_lineage_edge e))
$$;

comment on function dwh.dashboard_data() is
  'Everything that the dashboard''s page shows, as JSON. For headrace_reader.';
revoke all on function dwh.dashboard_data() from public;
grant execute on function dwh.dashboard_data() to headrace_reader;
