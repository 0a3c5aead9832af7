-- Contract: the select list that casts and masks one side (old_values or new_values) of decoded changes v, in the order of
-- etl.column_list(). Columns of the table are found by name, in p_names, which all rows have, or in each row's own names where
-- that is null: so rows from before and after a change of columns are both read right; a column that a row does not have is NULL.
create or replace function mrr.typed_list(p_table etl.source_table, p_names text[], p_side text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format(
    case c.mask when 'hash' then 'etl.mask_hash(v.%1$I[%2$s])' when 'truncate' then 'left(v.%1$I[%2$s], %4$s)' else 'v.%1$I[%2$s]::%3$s' end,
    p_side,
    case when p_names is null then format('array_position(v.column_names, %L)', c.column_name)
         else coalesce(array_position(p_names, c.column_name)::text, 'null::integer') end,
    c.mirror_type, c.mask_length), ', ' order by c.position)
  from etl.source_column c
  where c.source_table_id = (p_table).source_table_id and c.mask is distinct from 'drop'
$$;

comment on function mrr.typed_list(etl.source_table, text[], text) is
  'Select list that casts and masks one side of decoded changes v. p_names: the columns that all of them have, or null. Internal.';
revoke all on function mrr.typed_list(etl.source_table, text[], text) from public;
