-- Contract: the columns of an answer of mrr.select_query, as a list of definitions. With p_is_packed each is an array of all rows'
-- values; what has no array of its own comes as text.
create or replace function mrr.answer_columns(p_table etl.source_table, p_is_packed boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format('%I %s', c.column_name,
                           case when not p_is_packed then c.mirror_type when y.typarray = 0 or y.typcategory = 'A' then 'text[]' else c.mirror_type || '[]' end),
                    ', ' order by c.position)
  from etl.source_column c
  join pg_type y on y.oid = c.mirror_type::regtype
  where c.source_table_id = (p_table).source_table_id and c.mask is distinct from 'drop'
$$;

comment on function mrr.answer_columns(etl.source_table, boolean) is
  'Definitions of the columns of an answer of mrr.select_query; p_is_packed: an array each. Internal.';
revoke all on function mrr.answer_columns(etl.source_table, boolean) from public;
