-- Contract: a sources file for dbt: the tables and views of these schemas with their columns, types and comments. A table
-- that a pipeline loads, and a mirror, gets a freshness by what dwh.metric_pipeline says of its pipeline, which a pipeline
-- that finds nothing new keeps fresh, as a column of the table would not. Texts are written as JSON, which YAML reads;
-- braces that dbt would take for its own are set apart.
create or replace function etl.dbt_sources(
  schemas text[] default '{dwh}', warn_after interval default '10 minutes', error_after interval default '1 hour')
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with described (schema, position, text) as (
    select n.nspname, 0::bigint, format(E'  - name: %s\n    schema: %1$s\n    loader: headrace\n%s    tables:', to_json(n.nspname),
           '    description: ' || to_json(regexp_replace(obj_description(n.oid, 'pg_namespace'), '\{(?=[{%#])', '{ ', 'g')) || E'\n')
    from pg_namespace n
    where n.nspname = any (schemas)
    union all
    select n.nspname, row_number() over (order by c.relname), concat_ws(E'\n',
      format('      - name: %s', to_json(c.relname)),
      '        description: ' || to_json(regexp_replace(obj_description(c.oid, 'pg_class'), '\{(?=[{%#])', '{ ', 'g')),
      (select format(E'        config:\n          loaded_at_query: %s\n          freshness:\n            warn_after: {count: %s, period: minute}\n            error_after: {count: %s, period: minute}',
                     to_json(format('select max(captured_at) from dwh.metric_pipeline where pipeline = %L', p.pipeline)),
                     ceil(extract(epoch from warn_after) / 60), ceil(extract(epoch from error_after) / 60))
       from (select s.pipeline from etl.step s where to_regclass(s.target) = c.oid
             union select t.pipeline from etl.source_table t where to_regclass(format('mrr.%I', t.mirror)) = c.oid
             order by 1 limit 1) p),
      '        columns:',
      (select string_agg(concat_ws(E'\n',
                format(E'          - name: %s\n            data_type: %s', to_json(a.attname), to_json(format_type(a.atttypid, a.atttypmod))),
                '            description: ' || to_json(regexp_replace(col_description(c.oid, a.attnum), '\{(?=[{%#])', '{ ', 'g'))),
              E'\n' order by a.attnum)
       from pg_attribute a
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped))
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any (schemas) and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
  )
  select E'version: 2\nsources:\n' || string_agg(d.text, E'\n' order by d.schema, d.position) || E'\n' from described d
$$;

comment on function etl.dbt_sources(text[], interval, interval) is
  'Sources file (YAML) for dbt, with freshness by pipeline and the comments as documentation. schemas: what to describe, dwh by default, mrr too for whoever may read it; warn_after, error_after: limits of freshness. For headrace_monitor.';
revoke all on function etl.dbt_sources(text[], interval, interval) from public;
grant execute on function etl.dbt_sources(text[], interval, interval) to headrace_monitor;
