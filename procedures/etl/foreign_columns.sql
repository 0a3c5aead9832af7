-- requires: etl.mysql_columns
-- Contract: what etl.source_columns() is for a source over another wrapper: the columns that a table has now, as far as
-- the wrapper tells without making anything, which is MySQL's catalogue (unless the foreign table is one of the user's), and else the foreign table. Columns are told by
-- their name, so a registered one keeps its number and a renamed one is another. type_oid is null where no type here holds it.
create or replace function etl.foreign_columns(p_source text, p_schema text, p_name text)
returns table (column_position smallint, column_name text, source_type text, type_oid oid, type_modifier integer, is_filled boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table etl.source_table;
  v_is_mysql constant boolean := exists (select from etl.source s where s.source = p_source and s.fdw = 'mysql_fdw')
    and not etl.is_foreign_table_of(format('%I.%I', p_schema, p_name), p_source);
begin
  select t.* into v_table from etl.source_table t where t.source = p_source and t.source_schema = p_schema and t.source_name = p_name;
  return query
    with registered as (
      select c.position, c.column_name, c.source_type, c.mask from etl.source_column c where c.source_table_id = v_table.source_table_id
    ), made as (
      select a.attnum, a.attname::text as column_name, a.atttypid, a.atttypmod
      from pg_attribute a
      where a.attrelid = to_regclass(format('%I.%I', p_source, v_table.mirror)) and a.attnum > 0 and not a.attisdropped
    ), now as (
      select m.ordinal, m.column_name, m.source_type, m.is_filled
      from etl.mysql_columns(p_source, p_schema, p_name) m
      where v_is_mysql
      union all
      select m.attnum, m.column_name, format_type(m.atttypid, m.atttypmod), true from made m where not v_is_mysql
      union all
      select r.position, r.column_name, r.source_type, false from registered r
      where not v_is_mysql and r.mask = 'drop' and r.column_name not in (select m.column_name from made m)
    )
    select coalesce(r.position, (select coalesce(max(x.position), 0) from registered x)
                                + row_number() over (partition by r.position is null order by n.ordinal))::smallint,
           n.column_name, n.source_type, m.atttypid, m.atttypmod, n.is_filled
    from now n
    left join registered r on r.column_name = n.column_name
    left join made m on m.column_name = n.column_name
    order by 1;
end
$$;

comment on function etl.foreign_columns(text, text, text) is
  'Columns of a table of a source over another wrapper now. Internal.';
revoke all on function etl.foreign_columns(text, text, text) from public;
