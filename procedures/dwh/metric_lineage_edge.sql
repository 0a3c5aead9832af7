-- Contract: which thing of the pipeline feeds which: source table → mirror → stage function → table → table → view. Mirrors and
-- stages from the registry; tables from the registered steps: what a step's stages are, what its target is, which steps it depends
-- on, and what else its routine writes in dwh, itself or in routines that its text names; views from pg_depend. Quarantine is an end, nothing comes out of it here.
-- Names are written as SQL writes them, and looked up in the catalogue by name: a reader may not use the other schemas.
create or replace view dwh.metric_lineage_edge as
with routine (name, source) as (
  select format('%I.%I', n.nspname, p.proname), p.prosrc
  from pg_namespace n
  join pg_proc p on p.pronamespace = n.oid
  where n.nspname !~ '^(pg_|information_schema$)'
),
relation (oid, kind, name) as (
  select c.oid, c.relkind, format('%I.%I', n.nspname, c.relname)
  from pg_namespace n
  join pg_class c on c.relnamespace = n.oid
  where n.nspname in ('dwh', 'mrr')
),
written as (
  select s.pipeline, s.step, s.stages, s.depends_on, s.target
  from etl.step s
  where s.enabled and s.target is not null
  union
  select s.pipeline, s.step, s.stages, s.depends_on, w.name[1]
  from etl.step s
  join routine n on n.name = s.routine
  join routine r on r.name = n.name or position(r.name || '(' in n.source) > 0
  cross join lateral regexp_matches(r.source, '\m(?:insert\s+into|update|delete\s+from|merge\s+into)\s+(dwh\.\w+)', 'g') w (name)
  where s.enabled and w.name[1] <> 'dwh.facts_by_day'
),
edge (from_node, to_node) as (
  select format('%I.%I.%I', t.source, t.source_schema, t.source_name), format('mrr.%I', t.mirror)
  from etl.source_table t
  union
  select format('mrr.%I', g.mirror), g.stage
  from etl.stage g
  join etl.source_table t on t.mirror = g.mirror
  union
  select g.stage, w.target
  from written w
  cross join unnest(w.stages) g (stage)
  union
  select before.target, w.target
  from written w
  join written before on before.pipeline = w.pipeline and before.step = any (w.depends_on)
  where before.target <> 'stg.quarantine'
  union
  select f.fact, 'dwh.facts_by_day'
  from etl.fact f
  union
  select t.name, v.name
  from relation v
  join pg_rewrite r on r.ev_class = v.oid
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
  join relation t on t.oid = d.refobjid
  where v.kind in ('v', 'm') and starts_with(v.name, 'dwh.')
    and v.name not in ('dwh.metric_layer', 'dwh.metric_lineage_edge', 'dwh.metric_lineage_node')  -- of the flow itself
    and (v.name <> 'dwh.metric_fact' or exists (select from etl.fact))
)
select e.from_node, e.to_node
from edge e
where e.from_node <> e.to_node;

comment on view dwh.metric_lineage_edge is 'What feeds what, from source table to metric, as registry and catalogue have it. For headrace_reader.';
comment on column dwh.metric_lineage_edge.from_node is 'Node of dwh.metric_lineage_node that feeds the other.';
comment on column dwh.metric_lineage_edge.to_node is 'Node that is fed.';
revoke all on dwh.metric_lineage_edge from public;
grant select on dwh.metric_lineage_edge to headrace_reader;
