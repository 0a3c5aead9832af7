-- requires: etl.check_table
-- Contract: the enabled log tables of a pipeline at a source that are not in the publication they should be in, with the
-- statement that puts them there.
create or replace function etl.unpublished_tables(p_pipeline text, p_source text)
returns table (source_table_id integer, remedy text)
language sql
set search_path = pg_catalog, pg_temp
as $$
  select t.source_table_id, c.remedy
  from etl.source_table t
  join lateral etl.check_table(t.source, t.source_schema, t.source_name, t.pipeline, t.key_columns, t.inserts_only) c
    on c.finding like 'it is not in publication %'
  where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log' and t.enabled
$$;

comment on function etl.unpublished_tables(text, text) is
  'Log tables of a pipeline that their source does not publish, with the statement that would. Needs the open connection. Internal.';
revoke all on function etl.unpublished_tables(text, text) from public;
