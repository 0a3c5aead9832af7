-- requires: etl.newest_generation, etl.placed_hash, etl.row_image
-- Contract: the statement that puts the answer waiting on this session's first or second connection to the source (p_connection) into p_target, which has the mirror's columns: a plain
-- table, with p_batch a change set, each row an insert, or the mirror itself. Masks that need the warehouse's secret are
-- applied on the way. With p_is_packed each row of the answer is many: one array per column, which costs less than half of
-- what single rows cost; what has no array of its own comes as text.
create or replace function mrr.insert_query(p_table etl.source_table, p_target regclass, p_batch bigint, p_connection integer, p_is_packed boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format('insert into %s (%s%s) select %s%s from (select %s from (select %s from etl_ext.dblink_get_result(%L) r (%s)) r) c',
    p_target, string_agg(quote_ident(c.column_name), ', ' order by c.position),
    case when p_batch is null then '' when k.is_mirror then ', _hr_batch, _hr_hash' else ', _hr_batch, _hr_op' end,
    string_agg(format('c.%I', c.column_name), ', ' order by c.position),
    case when p_batch is null then ''
         when k.is_mirror then format(', $1, etl.placed_hash(%s, hashtextextended(%s, 0))', etl.newest_generation(p_target), etl.row_image((p_table).source_table_id, 'c'))
         else ', $1, ''I''' end,
    string_agg(format(case when c.mask = 'hash' then 'etl.mask_hash(r.%1$I) as %1$I'
                           when p_is_packed and c.is_text then 'r.%1$I::%2$s as %1$I'
                           else 'r.%1$I' end, c.column_name, c.mirror_type), ', ' order by c.position),
    string_agg(format(case when p_is_packed then 'unnest(r.%1$I) as %1$I' else 'r.%1$I' end, c.column_name), ', ' order by c.position),
    case p_connection when 1 then 'headrace_' else 'headrace2_' end || (p_table).source,
    string_agg(format('%I %s', c.column_name,
                      case when not p_is_packed then c.mirror_type when c.is_text then 'text[]' else c.mirror_type || '[]' end), ', ' order by c.position))
  from (select p_target = format('mrr.%I', (p_table).mirror)::regclass as is_mirror) k
  cross join (
    select s.*, y.typarray = 0 or y.typcategory = 'A' as is_text
    from etl.source_column s join pg_type y on y.oid = s.mirror_type::regtype
    where s.source_table_id = (p_table).source_table_id and s.mask is distinct from 'drop') c
  group by k.is_mirror
$$;

comment on function mrr.insert_query(etl.source_table, regclass, bigint, integer, boolean) is
  'Statement that puts the answer on the first or second connection into p_target; $1 is the batch. p_is_packed: the answer has one array per column. Internal.';
revoke all on function mrr.insert_query(etl.source_table, regclass, bigint, integer, boolean) from public;
