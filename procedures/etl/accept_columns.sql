-- Contract: takes over the columns that a table has at the source now, where on_schema_change is stop; the next capture
-- compares the table in full.
create or replace procedure etl.accept_columns(source text, source_table text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table constant etl.source_table := etl.find_table(accept_columns.source, accept_columns.source_table);
begin
  perform etl.lock_pipeline(v_table.pipeline);
  perform etl.connect_source(v_table.source);
  perform etl.take_over_columns(v_table);
  perform etl.disconnect_source(v_table.source);
  perform etl.request_resync(v_table.pipeline, array[v_table.mirror]);
end
$$;

comment on procedure etl.accept_columns(text, text) is
  'Takes over changed columns of a source table whose on_schema_change is stop. Raises 42704, 55000, 55P03, or the source''s own error. For the administrator (member of headrace_owner).';
revoke all on procedure etl.accept_columns(text, text) from public;
