-- requires: etl.slot_name
-- Contract: the publications, partitions and columns of a pipeline's log tables at a source as one text: as they are registered, and
-- the query that writes the same text at the source. The two differ wherever a capture would find a table unpublished
-- (etl.unpublished_tables), its partitions or itself another (etl.follow_partitions) or its columns (etl.follow_columns); where they do not, it need
-- not ask. They may differ for less: a column that a mask leaves out counts here.
create or replace function etl.table_shapes(p_pipeline text, p_source text, out registered text, out query text)
language sql
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(concat_ws(' ', t.source_table_id, t.partition_tree,
           (select string_agg(concat_ws(' ', c.position, c.column_name, c.source_type), ', ' order by c.position)
            from etl.source_column c where c.source_table_id = t.source_table_id)), '; ' order by t.source_table_id),
         format('select string_agg(concat_ws('' '', t.number,'
           '   coalesce((select md5(string_agg(r.relid::oid::text, '' '' order by r.relid::oid)) from pg_partition_tree(c.oid) r), c.oid::text),'
           '   (select string_agg(concat_ws('' '', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod)), '', '' order by a.attnum)'
           '    from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)), ''; '' order by t.number)'
           ' from (values %s) t (number, schema_name, table_name, publication)'
           ' join pg_namespace n on n.nspname = t.schema_name join pg_class c on c.relnamespace = n.oid and c.relname = t.table_name'
           ' where exists (select from pg_get_publication_tables(t.publication) p where p.relid = c.oid)',
           string_agg(format('(%s, %L, %L, %L)', t.source_table_id, t.source_schema, t.source_name,
                             w.slot_name || case when t.inserts_only then '_inserts' else '' end), ', '))
  from etl.source_table t
  cross join etl.slot_name(p_pipeline) w (slot_name)
  where t.pipeline = p_pipeline and t.source = p_source and t.capture = 'log' and t.enabled
$$;

comment on function etl.table_shapes(text, text) is
  'Publications, partitions and columns of a pipeline''s log tables at a source as one text, as registered, and the query that writes it at the source. Internal.';
revoke all on function etl.table_shapes(text, text) from public;
