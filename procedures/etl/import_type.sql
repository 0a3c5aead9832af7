-- Contract: the name of the type that values of a source type have in the mirror. Built-in types keep their name, save
-- those that name objects of the source (regclass and its kin, aclitem), which become text; enum,
-- domain and composite types that are missing here are made in the source's schema (a domain without its checks: the
-- source already made them); a type of an extension is used if it is installed here; anything else is mirrored as text, in
-- its exact text form, and a notice says so. Of a source over another wrapper the types are those of its foreign tables.
create or replace function etl.import_type(p_source text, p_type oid, p_modifier integer)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || p_source;
  v_type record;
  v_name text;
  v_definition text;
  v_label text;
begin
  if etl.is_foreign(p_source) then
    return coalesce(format_type(p_type, p_modifier), 'text'); -- of its foreign table here
  end if;
  select r.* into strict v_type
  from etl_ext.dblink(v_connection, format(
    'select format_type(t.oid, %s), n.nspname, t.typname, t.typtype, case when t.typtype = ''b'' and t.typcategory = ''A'' and t.typlen = -1 then t.typelem else 0 end,'
    ' t.typbasetype, t.typtypmod, t.typrelid'
    ' from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = %s', p_modifier, p_type))
    r (full_name text, schema_name text, type_name text, kind "char", element oid, base oid, base_modifier integer, relation oid);

  if v_type.schema_name = 'pg_catalog' and v_type.type_name ~ '^_?(reg[a-z]+|aclitem)$' then
    return 'text'; -- a name in the source's own catalogue, which means nothing here
  elsif v_type.schema_name = 'pg_catalog' and to_regtype(v_type.full_name) is not null then
    return v_type.full_name;
  elsif v_type.element <> 0 then
    return etl.import_type(p_source, v_type.element, -1) || '[]';
  elsif v_type.kind not in ('e', 'd', 'c') then
    if to_regtype(v_type.full_name) is not null then
      return v_type.full_name;
    end if;
    raise notice 'type % of source % does not exist here: its values are mirrored in their text form', v_type.full_name, p_source;
    return 'text';
  end if;

  v_name := format('%I.%I', p_source, left(case v_type.schema_name when 'public' then '' else v_type.schema_name || '_' end || v_type.type_name, 63));
  if to_regtype(v_name) is null then
    if v_type.kind = 'd' then
      v_definition := format('create domain %s as %s', v_name, etl.import_type(p_source, v_type.base, v_type.base_modifier));
    elsif v_type.kind = 'e' then
      v_definition := format('create type %s as enum ()', v_name);
    else
      select format('create type %s as (%s)', v_name,
                    string_agg(format('%I %s', r.name, etl.import_type(p_source, r.type, r.modifier)), ', ' order by r.number))
      into v_definition
      from etl_ext.dblink(v_connection, format(
        'select a.attnum, a.attname, a.atttypid, a.atttypmod from pg_attribute a where a.attrelid = %s and a.attnum > 0 and not a.attisdropped',
        v_type.relation))
        r (number smallint, name text, type oid, modifier integer);
    end if;
    execute v_definition;
    execute format('comment on %s %s is %L', case v_type.kind when 'd' then 'domain' else 'type' end, v_name,
                   format('Copy of type %s of source %s.', v_type.full_name, p_source));
  end if;
  if v_type.kind = 'e' then -- also of a type that is here: it may have gained labels
    for v_label in
      select r.label
      from etl_ext.dblink(v_connection, format('select e.enumlabel from pg_enum e where e.enumtypid = %s order by e.enumsortorder', p_type)) r (label text)
      where not exists (select from pg_enum x where x.enumtypid = to_regtype(v_name) and x.enumlabel = r.label)
    loop
      execute format('alter type %s add value %L', v_name, v_label);
    end loop;
  end if;
  return v_name;
end
$$;

comment on function etl.import_type(text, oid, integer) is
  'Name of the mirror''s type for type p_type (with modifier p_modifier) of source p_source; makes enum, domain and composite types. Needs the open connection. Internal.';
revoke all on function etl.import_type(text, oid, integer) from public;
