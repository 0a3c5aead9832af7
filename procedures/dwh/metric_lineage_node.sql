-- requires: dwh.metric_lineage_edge, dwh.metric_layer
-- Contract: one row per thing that dwh.metric_lineage_edge names: what it is, its rows where they are known, its COMMENT and
-- its definition: of a table its columns, of a stage function or a view its text.
create or replace view dwh.metric_lineage_node as
with named as (
  select e.from_node as node from dwh.metric_lineage_edge e
  union
  select e.to_node from dwh.metric_lineage_edge e
),
object as (
  select n.node, c.oid as relation, c.relkind as relation_kind, p.oid as routine, t.source_table_id, t.pipeline
  from named n
  left join etl.source_table t on n.node = format('%I.%I.%I', t.source, t.source_schema, t.source_name)
  left join (
    select r.oid, r.relkind, format('%I.%I', s.nspname, r.relname) as name
    from pg_namespace s join pg_class r on r.relnamespace = s.oid
    where s.nspname in ('dwh', 'mrr', 'stg') and r.relkind in ('r', 'p', 'v', 'm')
  ) c on c.name = n.node
  left join (
    select r.oid, format('%I.%I', s.nspname, r.proname) as name
    from pg_namespace s join pg_proc r on r.pronamespace = s.oid
  ) p on p.name = n.node and c.oid is null
)
select
  o.node,
  case
    when o.source_table_id is not null then 'source'
    when o.routine is not null then 'stage'
    when starts_with(o.node, 'mrr.') then 'mirror'
    when o.node = 'stg.quarantine' then 'quarantine'
    when o.relation_kind in ('v', 'm') then case when starts_with(o.node, 'dwh.metric_') then 'metric' else 'view' end
    when exists (select from etl.dimension d where d.dimension = o.node) then 'dimension'
    when exists (select from etl.fact f where f.fact = o.node) or starts_with(o.node, 'dwh.fact_') then 'fact'
    else 'aggregate'
  end as kind,
  coalesce(o.pipeline, l.pipeline) as pipeline,
  l.table_rows,
  l.is_estimate,
  case
    when o.source_table_id is not null then
      (select format('Table %I.%I of source %s, captured by %s into mrr.%s.', t.source_schema, t.source_name, t.source, t.capture, t.mirror)
       from etl.source_table t where t.source_table_id = o.source_table_id)
    when o.routine is not null then obj_description(o.routine, 'pg_proc')
    when starts_with(o.node, 'mrr.') then
      coalesce(obj_description(o.relation, 'pg_class'), 'Mirror: the source''s rows as of the last capture, row for row.')
    else obj_description(o.relation, 'pg_class')
  end as comment,
  case
    when o.source_table_id is not null then
      (select string_agg(format('%I %s%s', k.column_name, k.source_type, ' -- ' || case k.mask when 'drop' then 'not mirrored' when 'hash' then 'hashed' when 'truncate' then 'truncated' end),
                         E'\n' order by k.position)
       from etl.source_column k where k.source_table_id = o.source_table_id)
    when o.routine is not null then pg_get_functiondef(o.routine)
    when o.relation_kind in ('v', 'm') then pg_get_viewdef(o.relation, true)
    else
      (select string_agg(format('%I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' end,
                                ' -- ' || col_description(a.attrelid, a.attnum)), E'\n' order by a.attnum)
       from pg_attribute a where a.attrelid = o.relation and a.attnum > 0 and not a.attisdropped)
  end as definition
from object o
left join dwh.metric_layer l on l.table_name = o.node;

comment on view dwh.metric_lineage_node is 'Things that data passes through, from source table to metric, with rows, comment and definition. For headrace_reader.';
comment on column dwh.metric_lineage_node.node is 'Name: schema.table, stage function, or source.schema.table.';
comment on column dwh.metric_lineage_node.kind is 'source, mirror, stage, quarantine, dimension, fact, aggregate, metric or view.';
comment on column dwh.metric_lineage_node.pipeline is 'Pipeline that moves it; null where none or several do.';
comment on column dwh.metric_lineage_node.table_rows is 'Rows; null for what holds none or where nobody has counted yet.';
comment on column dwh.metric_lineage_node.is_estimate is 'True where that number comes from statistics or from the last reconciliation.';
comment on column dwh.metric_lineage_node.comment is 'Its COMMENT, or what the registry says of it.';
comment on column dwh.metric_lineage_node.definition is 'Columns of a table, text of a stage function or a view.';
revoke all on dwh.metric_lineage_node from public;
grant select on dwh.metric_lineage_node to headrace_reader;
