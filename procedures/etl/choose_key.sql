-- Contract: the key columns of a table: those asked for, or by default its primary key; null for none. A key asked for must
-- be unique at the source (where the table can say so; over other wrappers every reading sees to it) and must not be masked beyond recognition.
create or replace function etl.choose_key(p_table etl.source_table, p_key text[])
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation constant text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
  v_key text[] := p_key;
  v_is_table boolean;
  v_is_unique boolean;
  v_wrong text;
begin
  if etl.is_foreign((p_table).source) then
    v_key := coalesce(p_key, etl.foreign_key((p_table).source, (p_table).source_schema, (p_table).source_name));
  else
    select r.is_table, coalesce(p_key, r.primary_key), coalesce(r.is_unique, false)
    into v_is_table, v_key, v_is_unique
    from etl_ext.dblink('headrace_' || (p_table).source, format(
      'with k as (select i.indisprimary, array_agg(a.attname::text order by x.position) as columns'
      '           from pg_index i cross join unnest(i.indkey) with ordinality x (attnum, position)'
      '           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = x.attnum'
      '           where i.indrelid = %1$L::regclass and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null and x.position <= i.indnkeyatts'
      '           group by i.indexrelid, i.indisprimary)'
      ' select c.relkind in (''r'', ''p''), (select k.columns from k where k.indisprimary),'
      '        exists (select from k where k.columns <@ %2$L::text[])'
      ' from pg_class c where c.oid = %1$L::regclass', v_relation, p_key))
      r (is_table boolean, primary_key text[], is_unique boolean);
  end if;
  if v_key = '{}' or v_key is null then
    return null;
  end if;

  select string_agg(k.name, ', ') into v_wrong
  from unnest(v_key) k (name)
  left join etl.source_column c on c.source_table_id = (p_table).source_table_id and c.column_name = k.name
  where c.column_name is null or c.mask in ('drop', 'truncate');
  if v_wrong is not null then
    raise exception using
      errcode = 'undefined_column',
      message = format('key columns that %s does not have, or that are dropped or truncated: %s', v_relation, v_wrong),
      detail = 'It has: ' || etl.column_list((p_table).source_table_id, '%1$I') || '.',
      hint = 'Choose another key, hash the column instead, or pass key => ''{}'' to treat the table as keyless.';
  elsif p_key is not null and v_is_table and not v_is_unique then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%s has no unique index on (%s)', v_relation, array_to_string(p_key, ', ')),
      hint = 'Only a unique key finds a row again. Pass key => ''{}'' to treat the table as keyless.';
  end if;
  return v_key;
end
$$;

comment on function etl.choose_key(etl.source_table, text[]) is
  'Key columns of a source table: p_key, or its primary key; null for none. Raises 42703, 22023. Needs the open connection. Internal.';
revoke all on function etl.choose_key(etl.source_table, text[]) from public;
