-- Contract: the column that a mirror is distributed by on a cluster, unless etl.layout says otherwise: the number of the row
-- where there is no key, or else the first key column of which equal values have one text form. That column never changes
-- in a row, which Citus demands; of others, as numeric with 1.0 = 1.00, the text form may. Null where the key has none.
create or replace function etl.distribution_column(p_table etl.source_table)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case when (p_table).key_columns is null then '_hr_id' else (
    select c.column_name
    from etl.source_column c
    where c.source_table_id = (p_table).source_table_id and c.column_name = any ((p_table).key_columns)
      and c.mirror_type ~ '^(smallint|integer|bigint|text|character varying.*|uuid|date|timestamp.*)$'
    order by array_position((p_table).key_columns, c.column_name)
    limit 1) end
$$;

comment on function etl.distribution_column(etl.source_table) is
  'Column that a mirror is distributed by on a cluster; null where it stays on the coordinator. Internal.';
revoke all on function etl.distribution_column(etl.source_table) from public;
