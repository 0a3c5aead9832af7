-- Contract: the tables of a PostgreSQL source whose names are the given one but for capitals, or that are in another schema, as SQL
-- writes them, at most five; null for none, and for sources over other wrappers. Needs the open connection.
create or replace function etl.similar_tables(p_source text, p_name text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if etl.is_foreign(p_source) then
    return null;
  end if;
  return (
    select string_agg(r.name, ', ' order by r.name)
    from etl_ext.dblink('headrace_' || p_source, format(
      'select format(''%%I.%%I'', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace'
      ' where lower(c.relname) = lower(%L) and c.relkind in (''r'', ''p'', ''v'', ''m'', ''f'') and n.nspname !~ ''^pg_'' and n.nspname <> ''information_schema'''
      ' order by 1 limit 5', p_name)) r (name text));
end
$$;

comment on function etl.similar_tables(text, text) is
  'Tables of a PostgreSQL source of the same name in other capitals or another schema, at most five; null for none. Needs the open connection. Internal.';
revoke all on function etl.similar_tables(text, text) from public;
