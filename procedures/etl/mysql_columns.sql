-- Contract: the columns that a table of MySQL or MariaDB has now, as its information_schema tells this account. Names are compared here
-- too, because that comparison there takes Orders and orders for one.
create or replace function etl.mysql_columns(p_source text, p_schema text, p_name text)
returns table (ordinal bigint, column_name text, source_type text, is_key boolean, is_filled boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  for ordinal, column_name, source_type, is_key, is_filled in execute format(
    'with found as materialized (select c.* from %I._hr_columns c where c.table_schema = %L and c.table_name = %L)'
    ' select f.ordinal_position, f.column_name::text, f.column_type::text, f.column_key = ''PRI'','
    '        f.is_nullable = ''NO'' or coalesce(f.column_default, ''NULL'') <> ''NULL'' or coalesce(f.extra, '''') ~* ''generated'''
    ' from found f where f.table_schema = %2$L and f.table_name = %3$L order by f.ordinal_position', p_source, p_schema, p_name)
  loop
    return next;
  end loop;
end
$$;

comment on function etl.mysql_columns(text, text, text) is
  'Columns of a table at a source over mysql_fdw now. Internal.';
revoke all on function etl.mysql_columns(text, text, text) from public;
