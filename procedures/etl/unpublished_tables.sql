-- requires: etl.check_table
-- Contract: the enabled log tables of a pipeline at a source that are not in the publication they should be in, with the
-- statement that puts them there. One question tells which tables are published; only of those that are missing is more
-- asked (etl.check_table), since each run comes here, also one with nothing to do.
create or replace function etl.unpublished_tables(p_pipeline text, p_source text)
returns table (source_table_id integer, remedy text)
language sql
set search_path = pg_catalog, pg_temp
as $$
  with published as materialized (
    select r.publication, r.schema_name, r.table_name
    from etl_ext.dblink('headrace_' || p_source, format(
      'select p.pubname, p.schemaname, p.tablename from pg_publication_tables p where p.pubname in (%L, %L)',
      etl.slot_name(p_pipeline), etl.slot_name(p_pipeline) || '_inserts'))
      r (publication text, schema_name text, table_name text)
  ), missing as materialized (
    select t.* from etl.source_table t
    where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log' and t.enabled and not exists (
      select from published p
      where p.publication = etl.slot_name(p_pipeline) || case when t.inserts_only then '_inserts' else '' end
        and p.schema_name = t.source_schema and p.table_name = t.source_name)
  )
  select t.source_table_id, c.remedy
  from missing t
  join lateral etl.check_table(t.source, t.source_schema, t.source_name, t.pipeline, t.key_columns, t.inserts_only) c
    on c.finding like 'it is not in publication %'
$$;

comment on function etl.unpublished_tables(text, text) is
  'Log tables of a pipeline that their source does not publish, with the statement that would. Needs the open connection. Internal.';
revoke all on function etl.unpublished_tables(text, text) from public;
