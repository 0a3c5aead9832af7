-- Contract: refuses what was read of a table over mysql_fdw (p_rows) if there are more or fewer rows. The wrapper ends a scan without
-- an error when the connection breaks or a value is longer than its buffer; the rows are counted in the same snapshot.
create or replace function mrr.check_count(p_table etl.source_table, p_rows bigint, p_condition text default '')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows bigint;
begin
  if not exists (select from etl.source s where s.source = (p_table).source and s.fdw = 'mysql_fdw') then
    return;
  end if;
  execute format('select count(*) from %I.%I%s', (p_table).source, (p_table).mirror, coalesce(' where ' || nullif(p_condition, ''), '')) into v_rows;
  if v_rows <> p_rows then
    raise exception using
      errcode = 'connection_failure',
      message = format('%I.%I of source %s gave %s of its %s rows', (p_table).source_schema, (p_table).source_name, (p_table).source, p_rows, v_rows),
      hint = 'mysql_fdw stops without an error where the connection breaks, and at a value longer than 64 kB, of a blob 8 kB. For the latter: register the table anew with columns => ''{"…": "text"}'', or with drop_columns. Tables that are not InnoDB can also have changed meanwhile.';
  end if;
end
$$;

comment on function mrr.check_count(etl.source_table, bigint, text) is
  'Raises 08006 where a source over mysql_fdw has another number of rows than were read. Internal.';
revoke all on function mrr.check_count(etl.source_table, bigint, text) from public;
