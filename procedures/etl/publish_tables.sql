-- Contract: puts log tables of a pipeline that their source does not publish (any more, or not for this copy of a warehouse) into
-- the publication, as far as the source's role may, and marks them for comparison, because their changes are missing.
-- A slot from before its publication was made cannot be read, so it is dropped, to be made anew. Returns whether the tables
-- are all published now; the capture refuses those that are not, with the statement for the DBA.
create or replace function etl.publish_tables(p_pipeline text, p_source text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missing record;
  v_table etl.source_table;
begin
  for v_missing in select u.source_table_id, u.remedy from etl.unpublished_tables(p_pipeline, p_source) u loop
    update etl.source_table t set needs_resync = t.copied_at is not null
    where t.source_table_id = v_missing.source_table_id
    returning t.* into strict v_table;
    if v_missing.remedy like 'create publication %' then
      perform from etl_ext.dblink('headrace_' || p_source, format(
        'select pg_drop_replication_slot(slot_name)::text from pg_replication_slots where slot_name = %L', etl.slot_name(p_pipeline))) r (ok text);
    end if;
    begin
      perform etl.prepare_log(v_table);
    exception when object_not_in_prerequisite_state then
      null; -- the capture says so
    end;
  end loop;
  return not found or not exists (select from etl.unpublished_tables(p_pipeline, p_source));
end
$$;

comment on function etl.publish_tables(text, text) is
  'Publishes log tables that have left their publication, and marks them for comparison; whether all are published now. Needs the open connection. Internal.';
revoke all on function etl.publish_tables(text, text) from public;
