-- Contract: refuses a watermark that cannot work: no such column, masked, of a type that has no order to grow in, or an
-- overlap that the type does not take. A source that cannot say which transactions are open needs one.
create or replace function etl.check_watermark(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_column etl.source_column;
begin
  select c.* into v_column
  from etl.source_column c
  where c.source_table_id = (p_table).source_table_id and c.column_name = (p_table).watermark_column and c.mask is null;
  if not found or v_column.mirror_type !~ '^(smallint|integer|bigint|numeric|real|double precision|date|timestamp)' then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%I of %I.%I cannot be a watermark', (p_table).watermark_column, (p_table).source_schema, (p_table).source_name),
      hint = 'A watermark is a number, date or timestamp column that grows with every insert and update and is not masked.';
  end if;
  if etl.is_foreign((p_table).source) and (p_table).watermark_overlap is null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%I.%I of source %s needs an overlap: which transactions are still open there cannot be asked', (p_table).source_schema, (p_table).source_name, (p_table).source),
      hint = 'What commits late, below the mark, is found if the overlap is longer than the longest transaction: overlap => ''10 minutes'' for a timestamp, ''1000'' for a number; ''0'' where rows are only ever appended in order.';
  end if;
  begin
    execute format('select null::%s - %s', v_column.mirror_type::regtype, coalesce(quote_literal((p_table).watermark_overlap) || case when v_column.mirror_type ~ '^(timestamp|date)' then '::interval' else '' end, 'null'));
  exception when others then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%s is no overlap for a watermark of type %s', quote_literal((p_table).watermark_overlap), v_column.mirror_type),
      hint = 'Example: overlap => ''10 minutes'' for a timestamp, overlap => ''1000'' for a number.';
  end;
end
$$;

comment on function etl.check_watermark(etl.source_table) is
  'Raises 22023 where a table''s watermark column or overlap cannot work. Internal.';
revoke all on function etl.check_watermark(etl.source_table) from public;
