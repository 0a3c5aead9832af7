-- requires: etl.source_columns
-- Contract: how the columns of a table at the source differ from those registered, in words, and whether the rows have to
-- be compared because of it. Columns left out by a mask do not count.
create or replace function etl.column_differences(p_table etl.source_table)
returns table (column_position smallint, difference text, is_resync boolean)
language sql
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(c.position, n.column_position),
         case when n.column_name is null then format('column %I is gone', c.column_name)
              when c.column_name is null then format('column %I (%s) is new', n.column_name, n.source_type)
              when n.source_type <> c.source_type then format('column %I is now %s, it was %s', c.column_name, n.source_type, c.source_type)
              else format('column %I is now called %I', c.column_name, n.column_name) end,
         n.column_name is null or c.column_name is null and n.is_filled or n.source_type <> c.source_type
           or c.column_name <> n.column_name and (p_table).capture = 'log' -- the slot still has rows under the old name
  from (select x.* from etl.source_column x where x.source_table_id = (p_table).source_table_id) c
  full join etl.source_columns((p_table).source, (p_table).source_schema, (p_table).source_name) n on n.column_position = c.position
  where (c.column_name is distinct from n.column_name or c.source_type is distinct from n.source_type)
    and not (c.mask is not distinct from 'drop' and coalesce(n.column_name, c.column_name) = c.column_name)
$$;

comment on function etl.column_differences(etl.source_table) is
  'Differences between a table''s registered columns and its source, in words. Needs the open connection. Internal.';
revoke all on function etl.column_differences(etl.source_table) from public;
