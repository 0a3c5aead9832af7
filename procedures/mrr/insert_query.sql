-- requires: etl.newest_generation, etl.placed_hash, etl.row_image, mrr.rows_query
-- Contract: the statement that puts the answer waiting on this session's first or second connection to the source (p_connection) into p_target, which has the mirror's columns: a plain
-- table, with p_batch a change set, each row an insert, or the mirror itself. p_is_packed as for mrr.rows_query.
create or replace function mrr.insert_query(p_table etl.source_table, p_target regclass, p_batch bigint, p_connection integer, p_is_packed boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format('insert into %s (%s%s) select %s%s from (%s) c',
    p_target, etl.column_list(t.id, '%1$I'),
    case when p_batch is null then '' when t.is_mirror then ', _hr_batch, _hr_hash' else ', _hr_batch, _hr_op' end,
    etl.column_list(t.id, 'c.%1$I'),
    case when p_batch is null then ''
         when t.is_mirror then format(', $1, etl.placed_hash(%s, hashtextextended(%s, 0))', etl.newest_generation(p_target), etl.row_image(t.id, 'c'))
         else ', $1, ''I''' end,
    mrr.rows_query(p_table, format('etl_ext.dblink_get_result(%L)', case p_connection when 1 then 'headrace_' else 'headrace2_' end || (p_table).source), p_is_packed))
  from (select (p_table).source_table_id as id, p_target = format('mrr.%I', (p_table).mirror)::regclass as is_mirror) t
$$;

comment on function mrr.insert_query(etl.source_table, regclass, bigint, integer, boolean) is
  'Statement that puts the answer on the first or second connection into p_target; $1 is the batch. p_is_packed: the answer has one array per column. Internal.';
revoke all on function mrr.insert_query(etl.source_table, regclass, bigint, integer, boolean) from public;
