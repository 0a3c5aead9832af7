-- Contract: the mirrored columns of a table in source order, each written by a pattern of format(): %1$I is the column's
-- name, %2$s its type in the mirror, %3$s the characters that the mask truncate keeps. Columns with the mask drop are left out.
-- Generated SQL is made from these lists alone, so names are quoted in one place.
create or replace function etl.column_list(p_source_table_id integer, p_pattern text, p_separator text default ', ')
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format(p_pattern, c.column_name, c.mirror_type, c.mask_length), p_separator order by c.position)
  from etl.source_column c
  where c.source_table_id = p_source_table_id and c.mask is distinct from 'drop'
$$;

comment on function etl.column_list(integer, text, text) is
  'Mirrored columns of a table, each written by a format() pattern (%1$I name, %2$s mirror type, %3$s mask length) and joined by p_separator. Internal.';
revoke all on function etl.column_list(integer, text, text) from public;
