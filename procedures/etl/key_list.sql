-- Contract: the key columns of a table, each written by a pattern of format() with %1$I, joined by p_separator; null for a
-- table without a key.
create or replace function etl.key_list(p_source_table_id integer, p_pattern text, p_separator text default ', ')
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format(p_pattern, k.column_name), p_separator order by k.position)
  from etl.source_table t
  cross join unnest(t.key_columns) with ordinality k (column_name, position)
  where t.source_table_id = p_source_table_id
$$;

comment on function etl.key_list(integer, text, text) is
  'Key columns of a table, each written by a format() pattern (%1$I name) and joined by p_separator; null without a key. Internal.';
revoke all on function etl.key_list(integer, text, text) from public;
