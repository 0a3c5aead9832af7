-- Contract: makes the foreign table of a registered table, without masked columns, so that what is masked cannot be read
-- around the mask. Replaces the one that is there.
create or replace function etl.make_foreign_table(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if etl.is_foreign((p_table).source) then
    perform etl.define_foreign_table(p_table);
    return;
  end if;
  if to_regclass(format('%I.%I', (p_table).source, (p_table).mirror)) is not null then
    execute format('drop foreign table %I.%I', (p_table).source, (p_table).mirror);
  end if;
  execute format('create foreign table %I.%I (%s) server %I options (schema_name %L, table_name %L)',
    (p_table).source, (p_table).mirror,
    (select string_agg(format('%I %s', c.column_name, c.mirror_type), ', ' order by c.position)
     from etl.source_column c where c.source_table_id = (p_table).source_table_id and c.mask is null),
    (p_table).source, (p_table).source_schema, (p_table).source_name);
  execute format('comment on foreign table %I.%I is %L', (p_table).source, (p_table).mirror,
                 format('Foreign table for %I.%I of source %s, without masked columns.', (p_table).source_schema, (p_table).source_name, (p_table).source));
end
$$;

comment on function etl.make_foreign_table(etl.source_table) is
  'Makes the foreign table of a registered table. Internal.';
revoke all on function etl.make_foreign_table(etl.source_table) from public;
