-- Prints docs/reference.md, Markdown of every table, column, view and routine of a warehouse, from its catalogue and the
-- COMMENTs there. What is made at run time is left out: mirrors, change sets, partitions. After a change, renew it with
--
--   python3 bootstrap.py psql warehouse -Xqf docs/reference.sql -o docs/reference.md

\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset recordsep '\n\n'
set search_path = pg_catalog, pg_temp;

with chapter (number, schema, oid) as (
  select s.number, s.schema, n.oid
  from unnest(array['etl', 'mrr', 'stg', 'dwh']) with ordinality s (schema, number)
  join pg_namespace n on n.nspname = s.schema
),
relation as (
  select c.number, r.oid, r.relname, r.relkind, r.relkind in ('v', 'm') as is_view
  from chapter c
  join pg_class r on r.relnamespace = c.oid
  where r.relkind in ('r', 'p', 'v', 'm')
    and not r.relispartition
    and not exists (select from etl.source_table t
                    where (c.schema, r.relname::text) in (('mrr', t.mirror), ('stg', t.mirror || '_changes')))
),
columns as (
  select a.attrelid,
         string_agg(format('| `%s` | %s%s | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
                           case when a.attnotnull then ' not null' end,
                           regexp_replace(col_description(a.attrelid, a.attnum), '([|<*])', '\\\1', 'g')),
                    E'\n' order by a.attnum) as lines
  from pg_attribute a
  where a.attnum > 0 and not a.attisdropped
  group by a.attrelid
),
callers as (
  select p.oid, string_agg(case when a.grantee = 0 then 'everyone' else format('`%s`', a.grantee::regrole) end,
                           ', ' order by a.grantee::regrole::text collate "C") as names
  from pg_proc p
  cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  where a.privilege_type = 'EXECUTE' and a.grantee <> p.proowner
  group by p.oid
),
paragraph (number, section, name, text) as (
  select 0, 0, '', '# Reference' || E'\n\n' || 'Made from the comments in the database by `docs/reference.sql`; do not edit.'
  union all
  select c.number, 0, '', format(E'## Schema `%s`\n\n%s', c.schema, obj_description(c.oid, 'pg_namespace'))
  from chapter c
  union all
  select distinct r.number, case when r.is_view then 3 else 1 end, '', case when r.is_view then '### Views' else '### Tables' end
  from relation r
  union all
  select r.number, case when r.is_view then 4 else 2 end, r.relname,
         format(E'#### `%s`\n\n%s\n\n| column | type | meaning |\n| --- | --- | --- |\n%s', r.oid::regclass,
                regexp_replace(obj_description(r.oid, 'pg_class'), '([<*])', '\\\1', 'g'), l.lines)
  from relation r
  left join columns l on l.attrelid = r.oid
  union all
  select distinct c.number, 5, '', '### Routines'
  from chapter c
  join pg_proc p on p.pronamespace = c.oid
  union all
  select c.number, 6, p.oid::regprocedure::text,
         format(E'#### `%s.%s`\n\n```sql\n%s %1$s.%2$s(%4$s)%s\n```\n\n%s\n\nRuns with the rights of its %s. May call: %s.',
                c.schema, p.proname,
                case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window function' else 'function' end,
                pg_get_function_arguments(p.oid), ' returns ' || pg_get_function_result(p.oid),
                regexp_replace(obj_description(p.oid, 'pg_proc'), '([<*])', '\\\1', 'g'),
                case when p.prosecdef then 'owner' else 'caller' end, coalesce(w.names, 'its owner alone'))
  from chapter c
  join pg_proc p on p.pronamespace = c.oid
  left join callers w on w.oid = p.oid
)
select text from paragraph order by number, section, name collate "C";
