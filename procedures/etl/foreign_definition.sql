-- requires: etl.mysql_columns
-- Contract: the columns of a table of a source over another wrapper, in order: name, type at the source, type here (null: none holds
-- it), and the column's own options for the foreign table. What is known best counts: a foreign table of this name and source
-- that is here; else MySQL's catalogue; else the file's header line, with types from p_columns; else p_columns; else the
-- foreign table that was made before; else what the wrapper imports. A type in p_columns wins, and then that of the foreign table
-- made before, as long as the source's type is the registered one.
create or replace function etl.foreign_definition(p_table etl.source_table, p_columns json, p_options jsonb)
returns table (ordinal bigint, column_name text, source_type text, type_name text, options text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_fdw constant text := (select s.fdw from etl.source s where s.source = (p_table).source);
  v_made constant text := format('%I.%I', (p_table).source, (p_table).mirror);
  v_own text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
begin
  if not etl.is_foreign_table_of(v_own, (p_table).source) then
    v_own := v_made;
    if v_fdw = 'mysql_fdw' then
      return query
        select m.ordinal, m.column_name, m.source_type,
               coalesce(p_columns ->> m.column_name, format_type(a.atttypid, a.atttypmod), etl.mysql_type(m.source_type)), null::text
        from etl.mysql_columns((p_table).source, (p_table).source_schema, (p_table).source_name) m
        left join etl.source_column c on c.source_table_id = (p_table).source_table_id and c.column_name = m.column_name
        left join pg_attribute a on a.attrelid = to_regclass(v_made) and a.attname = m.column_name and not a.attisdropped and c.source_type = m.source_type;
      return;
    elsif v_fdw = 'file_fdw' and coalesce(p_options ->> 'header', 'false') not in ('false', 'off', '0') then
      return query
        select f.ordinal, f.column_name, t.name, t.name, null::text
        from etl.file_columns((p_table).source, p_options) f
        left join etl.source_column c on c.source_table_id = (p_table).source_table_id and c.column_name = f.column_name
        cross join lateral (select coalesce(p_columns ->> f.column_name, c.source_type, 'text') as name) t;
      return;
    elsif p_columns is not null then
      return query
        select c.ordinality, c.key, c.value, c.value, null::text from json_each_text(p_columns) with ordinality c (key, value, ordinality);
      return;
    elsif not etl.is_foreign_table_of(v_made, (p_table).source) then
      execute format('import foreign schema %I limit to (%I) from server %I into %3$I', (p_table).source_schema, (p_table).source_name, (p_table).source);
      if (p_table).source_name <> (p_table).mirror and to_regclass(format('%I.%I', (p_table).source, (p_table).source_name)) is not null then
        execute format('alter foreign table %I.%I rename to %I', (p_table).source, (p_table).source_name, (p_table).mirror);
      end if;
    end if;
  end if;
  return query
    select a.attnum::bigint, a.attname::text, x.name, x.name,
           etl.option_list((select jsonb_object_agg(o.option_name, o.option_value) from pg_options_to_table(a.attfdwoptions) o))
    from pg_attribute a
    cross join lateral (select coalesce(p_columns ->> a.attname::text, format_type(a.atttypid, a.atttypmod)) as name) x
    where a.attrelid = to_regclass(v_own) and a.attnum > 0 and not a.attisdropped;
end
$$;

comment on function etl.foreign_definition(etl.source_table, json, jsonb) is
  'Columns of a table of a source over another wrapper: name, type there, type here, options. Raises what the wrapper raises. Internal.';
revoke all on function etl.foreign_definition(etl.source_table, json, jsonb) from public;
