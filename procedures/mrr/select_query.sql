-- Contract: the query that reads a source table, masked: to the text form that the type itself writes (a cast to text writes
-- some, as boolean, otherwise, and the log does not), so unmasked values are never stored here. p_condition limits the rows.
-- With p_is_packed all rows come as one, an array per column (mrr.insert_query).
create or replace function mrr.select_query(p_table etl.source_table, p_condition text, p_is_packed boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format(case when p_is_packed then 'select %4$s from (select %1$s from %2$s%3$s) x' else 'select %1$s from %2$s%3$s' end,
    string_agg(format(case c.mask when 'hash' then 'case when %1$I is not null then format(''%%s'', %1$I) end as %1$I'
                                  when 'truncate' then 'case when %1$I is not null then left(format(''%%s'', %1$I), %2$s) end as %1$I'
                                  else '%1$I' end,
                      c.column_name, c.mask_length), ', ' order by c.position),
    format('%I.%I', (p_table).source_schema, (p_table).source_name),
    coalesce(' where ' || nullif(p_condition, ''), ''),
    string_agg(format(case when c.is_text then 'array_agg(x.%I::text)' else 'array_agg(x.%I)' end, c.column_name), ', ' order by c.position))
  from (
    select s.*, y.typarray = 0 or y.typcategory = 'A' as is_text
    from etl.source_column s join pg_type y on y.oid = s.mirror_type::regtype
    where s.source_table_id = (p_table).source_table_id and s.mask is distinct from 'drop') c
$$;

comment on function mrr.select_query(etl.source_table, text, boolean) is
  'Query that reads a source table, masked; p_is_packed: as one row of arrays. Internal.';
revoke all on function mrr.select_query(etl.source_table, text, boolean) from public;
