-- requires: etl.similar_tables
-- Contract: reads a table's columns from the source and registers them with their masks; checks that the table can be seen
-- and read there, that every mask names a column of it, and that there is a type here for each column that is not left out.
create or replace function etl.register_columns(
  p_table etl.source_table, p_drop_columns text[], p_hash_columns text[], p_truncate_columns jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation constant text := format('%I.%I', (p_table).source_schema, (p_table).source_name);
  v_masked constant text[] := coalesce(p_drop_columns, '{}') || coalesce(p_hash_columns, '{}') || array(select jsonb_object_keys(coalesce(p_truncate_columns, '{}')));
  v_unknown text;
  v_similar text;
begin
  insert into etl.source_column (source_table_id, position, column_name, source_type, mirror_type, mask, mask_length)
  select (p_table).source_table_id, c.column_position, c.column_name, c.source_type,
         case when c.column_name = any (v_masked) then 'text' else etl.import_type((p_table).source, c.type_oid, c.type_modifier) end,
         case when c.column_name = any (p_drop_columns) then 'drop'
              when c.column_name = any (p_hash_columns) then 'hash'
              when p_truncate_columns ? c.column_name then 'truncate' end,
         case when p_truncate_columns ? c.column_name and c.column_name <> all (p_drop_columns || p_hash_columns)
              then (p_truncate_columns ->> c.column_name)::integer end
  from etl.source_columns((p_table).source, (p_table).source_schema, (p_table).source_name) c;
  if not found then
    v_similar := etl.similar_tables((p_table).source, (p_table).source_name);
    raise exception using
      errcode = 'undefined_table',
      message = format('source %s has no table %s', (p_table).source, v_relation),
      hint = 'Check the name, and the quotes where it is not all lower case.' || coalesce(' It has ' || v_similar || '.', '');
  end if;

  select string_agg(m.name, ', ') into v_unknown
  from unnest(v_masked) m (name)
  where not exists (select from etl.source_column c where c.source_table_id = (p_table).source_table_id and c.column_name = m.name)
     or m.name in (select x.name from unnest(v_masked) x (name) group by 1 having count(*) > 1);
  if v_unknown is not null then
    raise exception using
      errcode = 'undefined_column',
      message = format('columns to drop, hash or truncate that %s does not have, or that are named twice: %s', v_relation, v_unknown),
      hint = 'Name each column once, as it is written in the catalogue, without quotes.';
  elsif exists (select from etl.source_column c where c.source_table_id = (p_table).source_table_id and (c.column_name like '\_hr\_%' or c.mask_length < 1)) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%s has a column whose name begins with _hr_, or a column is truncated to less than one character', v_relation),
      hint = 'Names with _hr_ are kept for the mirror''s own columns: leave such a column out with drop_columns.';
  elsif etl.column_list((p_table).source_table_id, '%1$I') is null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('no column of %s is left to mirror', v_relation);
  end if;

  if etl.is_foreign((p_table).source) then
    perform etl.refuse_type(p_table, c.column_name, c.source_type, false)
    from etl.source_columns((p_table).source, (p_table).source_schema, (p_table).source_name) c
    where c.type_oid is null and c.column_name <> all (coalesce(p_drop_columns, '{}'));
  else
    begin
      perform etl.send_query('headrace_' || (p_table).source, format('select null::text from %s limit 0', v_relation));
      perform etl.finish_query('headrace_' || (p_table).source);
    exception when insufficient_privilege then
      raise exception using
        errcode = 'insufficient_privilege',
        message = format('%s of source %s may not be read: %s', v_relation, (p_table).source, sqlerrm),
        hint = format(E'At the source, as its DBA, db/source.sql with -v schema=%1$I, or:\ngrant usage on schema %1$I to %3$I; grant select on %2$s to %3$I;', (p_table).source_schema, v_relation, (
          select coalesce(max(o.option_value), 'headrace_source') from pg_user_mappings m cross join pg_options_to_table(m.umoptions) o
          where m.srvname = (p_table).source and o.option_name = 'user'));
    end;
  end if;
end
$$;

comment on function etl.register_columns(etl.source_table, text[], text[], jsonb) is
  'Registers the columns of a source table with their masks. Raises 42P01, 42703, 22023, 42501 with what the DBA grants where the table may not be read. Needs the open connection. Internal.';
revoke all on function etl.register_columns(etl.source_table, text[], text[], jsonb) from public;
