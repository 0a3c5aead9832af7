-- Contract: the columns that a table has at the source now, read over the open connection: attribute number, name, type as
-- format_type() writes it, type oid and modifier, and whether a new such column is filled in rows that are there. No row: there is no such table, or the role may not see it.
create or replace function etl.source_columns(p_source text, p_schema text, p_name text)
returns table (column_position smallint, column_name text, source_type text, type_oid oid, type_modifier integer, is_filled boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if etl.is_foreign(p_source) then
    return query select f.* from etl.foreign_columns(p_source, p_schema, p_name) f;
    return;
  end if;
  return query
    select r.*
    from etl_ext.dblink('headrace_' || p_source, format(
      'select a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, a.attnotnull or a.atthasdef or a.atthasmissing'
      ' from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace'
      ' where n.nspname = %L and c.relname = %L and c.relkind in (''r'', ''p'', ''v'', ''m'', ''f'') and a.attnum > 0 and not a.attisdropped'
      ' order by a.attnum', p_schema, p_name))
      r (column_position smallint, column_name text, source_type text, type_oid oid, type_modifier integer, is_filled boolean);
end
$$;

comment on function etl.source_columns(text, text, text) is
  'Columns of a table at the source now, over this session''s open connection. Internal.';
revoke all on function etl.source_columns(text, text, text) from public;
