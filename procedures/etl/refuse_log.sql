-- Contract: refuses capture by log for a table of a source over another wrapper, which has no log that is read.
create or replace function etl.refuse_log(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if (p_table).capture = 'log' and etl.is_foreign((p_table).source) then
    raise exception using
      errcode = 'feature_not_supported',
      message = format('%I.%I of source %s cannot be captured by log: only PostgreSQL has a log that is read', (p_table).source_schema, (p_table).source_name, (p_table).source),
      hint = 'Use capture => ''full'', or capture => ''watermark'' where a column grows with every insert and update.';
  end if;
end
$$;

comment on function etl.refuse_log(etl.source_table) is
  'Raises 0A000 for capture by log from a source over another wrapper than postgres_fdw. Internal.';
revoke all on function etl.refuse_log(etl.source_table) from public;
