-- requires: mrr.answer_columns
-- Contract: the query that makes rows, with the mirror's columns, of p_from, which gives answers of mrr.select_query. Masks that need the
-- warehouse's secret are applied on the way. With p_is_packed each row of the answer is many: one array per column, which costs less than half of
-- what single rows cost. With p_number each row also has a number, _hr_id: those that follow on the value of this expression, which is one for an answer.
create or replace function mrr.rows_query(p_table etl.source_table, p_from text, p_is_packed boolean, p_number text default null)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format('select %s%s from (select %s%s from %s r (%s)) r',
    string_agg(format(case when c.mask = 'hash' then 'etl.mask_hash(r.%1$I) as %1$I'
                           when p_is_packed then 'r.%1$I::%2$s as %1$I'
                           else 'r.%1$I' end, c.column_name, c.mirror_type), ', ' order by c.position),
    case when p_number is null then '' else ', r._hr_id' end,
    string_agg(format(case when p_is_packed then 'unnest(r.%1$I) as %1$I' else 'r.%1$I' end, c.column_name), ', ' order by c.position),
    case when p_number is null then ''
         else format(', generate_series(%1$s + 1, %1$s + cardinality(r.%2$I)) as _hr_id', p_number, (array_agg(c.column_name order by c.position))[1]) end,
    p_from, mrr.answer_columns(p_table, p_is_packed))
  from etl.source_column c
  where c.source_table_id = (p_table).source_table_id and c.mask is distinct from 'drop'
$$;

comment on function mrr.rows_query(etl.source_table, text, boolean, text) is
  'Query that makes rows of answers p_from; p_is_packed: an answer has one array per column; p_number: expression after which the rows of an answer are numbered. Internal.';
revoke all on function mrr.rows_query(etl.source_table, text, boolean, text) from public;
