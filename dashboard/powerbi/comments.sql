-- Prints what the database says of every table and view of dwh and of its columns, a JSON object a line: table, column (null
-- for the table itself), type, comment. The descriptions in the Power BI model are taken from it:
--
--   python3 bootstrap.py psql warehouse -XAtqf dashboard/powerbi/comments.sql | python3 -m tests.powerbi
select json_build_object('table', 'dwh.' || c.relname, 'column', a.attname,
                         'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
                         'comment', pg_catalog.col_description(c.oid, coalesce(a.attnum, 0)))
from pg_catalog.pg_class c
cross join lateral (
  select a.attnum, a.attname, a.atttypid, a.atttypmod
  from pg_catalog.pg_attribute a
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  union all
  select 0, null, null, null
) a
where c.relnamespace = 'dwh'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
order by c.relname, a.attnum;
