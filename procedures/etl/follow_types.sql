-- Contract: brings the enum types that a pipeline's mirrors use up to their source, so that a label added there since does
-- not stop the capture. A new label can be used only after a commit, so etl.run() calls this in a transaction of its own,
-- before it captures. Asks the source only if there are such types. What goes wrong here is left to the capture to tell.
create or replace function etl.follow_types(p_pipeline text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table etl.source_table;
begin
  for v_table in
    select t.*
    from etl.source_table t
    where t.pipeline = p_pipeline and t.enabled and exists (
      select
      from etl.source_column c
      join pg_type y on y.oid = to_regtype(c.mirror_type)
      join pg_namespace n on n.oid = y.typnamespace
      where c.source_table_id = t.source_table_id and n.nspname = t.source)
  loop
    perform etl.connect_source(v_table.source);
    perform etl.import_type(v_table.source, n.type_oid, n.type_modifier)
    from etl.source_columns(v_table.source, v_table.source_schema, v_table.source_name) n
    join etl.source_column c on c.source_table_id = v_table.source_table_id and c.column_name = n.column_name and c.mask is null;
    perform etl.disconnect_source(v_table.source);
  end loop;
exception when others then
  perform etl.disconnect_source();
end
$$;

comment on function etl.follow_types(text) is
  'Adds labels that enum types of a pipeline''s sources have gained. For headrace_runner, through etl.run().';
revoke all on function etl.follow_types(text) from public;
grant execute on function etl.follow_types(text) to headrace_runner;
