-- Contract: rows per table of each layer, without counting large tables: the facts from their aggregate, exactly; mirrors and
-- dimensions from the server's statistics, which say is_estimate; what waits in stg from the batches and the quarantine.
-- A source table has the number that its last reconciliation counted, null before the first.
create or replace view dwh.metric_layer as
with estimated as (
  -- the live count follows every commit; after a crash it starts at zero, then the planner's number serves
  select c.oid, n.nspname as layer, c.relname::text as name,
         (select sum(coalesce(nullif(pg_stat_get_live_tuples(l.oid), 0), nullif(l.reltuples, -1)::bigint, 0))
          from pg_class l
          where l.relkind = 'r' and (l.oid = c.oid or l.oid in (select i.inhrelid from pg_inherits i where i.inhparent = c.oid))
         )::bigint as table_rows
  from pg_namespace n
  join pg_class c on c.relnamespace = n.oid
  where n.nspname in ('mrr', 'dwh') and c.relkind in ('r', 'p') and not c.relispartition
)
select
  1 as position, 'source' as layer, format('%I.%I.%I', t.source, t.source_schema, t.source_name) as table_name, t.pipeline,
  r.rows_source as table_rows, true as is_estimate
from etl.source_table t
left join lateral (
  select x.rows_source from etl.reconciliation x where x.mirror = t.mirror order by x.reconciliation_id desc limit 1
) r on true
union all
select 2, 'mrr', format('mrr.%I', t.mirror), t.pipeline, e.table_rows, true
from etl.source_table t
left join estimated e on e.layer = 'mrr' and e.name = t.mirror
union all
select 3, 'stg', format('stg.%I', t.mirror || '_changes'), t.pipeline,
       coalesce((select sum(b.rows_inserted + b.rows_updated + b.rows_deleted)
                 from etl.batch w join etl.batch_table b on b.batch_id = w.batch_id
                 where w.pipeline = t.pipeline and w.published_at is null and b.mirror = t.mirror), 0)::bigint, false
from etl.source_table t
union all
select 4, 'stg', 'stg.quarantine', null, (select count(*) from stg.quarantine), false
union all
select 5, 'dwh', format('dwh.%I', e.name), s.pipeline,
       case e.name when 'fact_sales' then coalesce((select sum(a.lines) from dwh.sales_by_product a), 0)::bigint else e.table_rows end,
       e.name <> 'fact_sales'
from estimated e
left join lateral (
  select x.pipeline from etl.step x where x.target = format('dwh.%I', e.name) order by x.step_id limit 1
) s on true
where e.layer = 'dwh' and e.name not in ('stored_routines', 'dashboard_copy', 'facts_by_day');

comment on view dwh.metric_layer is 'Rows per table, layer by layer, from source to dwh. For headrace_reader.';
comment on column dwh.metric_layer.position is 'Order of the layers: 1 is the source, 5 is dwh.';
comment on column dwh.metric_layer.layer is 'source, mrr, stg or dwh.';
comment on column dwh.metric_layer.table_name is 'Table, with its schema; a source table with its source before that.';
comment on column dwh.metric_layer.pipeline is 'Pipeline that moves it; null where none or several do.';
comment on column dwh.metric_layer.table_rows is 'Rows; in stg those that wait. Null where nobody has counted yet.';
comment on column dwh.metric_layer.is_estimate is 'True where the number comes from statistics or from the last reconciliation.';
revoke all on dwh.metric_layer from public;
grant select on dwh.metric_layer to headrace_reader;
