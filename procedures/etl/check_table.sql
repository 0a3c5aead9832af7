-- requires: etl.slot_name
-- Contract: what a table at the source lacks for capture by log. Publishing updates and deletes of a table without a replica
-- identity makes the application's own fail, so such a table is an error unless only inserts are captured.
-- p_pipeline null: the table is not registered, and nothing is said of its publication.
create or replace function etl.check_table(
  p_source text, p_schema text, p_name text, p_pipeline text, p_key text[], p_inserts_only boolean)
returns table (severity text, subject text, finding text, remedy text)
language sql
set search_path = pg_catalog, pg_temp
as $$
  with given as (
    select format('%I.%I', p_schema, p_name) as relation,
           coalesce(etl.slot_name(p_pipeline), '') || case when p_inserts_only then '_inserts' else '' end as publication
  ), asked as (
    select g.*, r.*
    from given g
    left join etl_ext.dblink('headrace_' || p_source, format(
      'select c.relkind, c.relpersistence, has_table_privilege(c.oid, ''select''), c.relreplident,'
      '       (select array_agg(a.attname::text order by x.position) from pg_index i cross join unnest(i.indkey) with ordinality x (attnum, position)'
      '        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = x.attnum where i.indrelid = c.oid and i.indimmediate and i.indisvalid and case c.relreplident when ''d'' then i.indisprimary when ''i'' then i.indisreplident end),'
      '       (select string_agg(quote_ident(a.attname), '', '') from pg_attribute a where a.attrelid = c.oid and a.attgenerated <> '''' and not a.attisdropped),'
      '       exists (select from pg_publication_tables p where p.pubname = %1$L and p.schemaname = n.nspname and p.tablename = c.relname),'
      '       exists (select from pg_publication p where p.pubname = %1$L),'
      '       exists (select from pg_index i where i.indrelid = c.oid and i.indisunique and not i.indimmediate'
      '               and (select array_agg(a.attname::text) from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any (i.indkey)) <@ %4$L::text[])'
      ' from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = %2$L and c.relname = %3$L',
      (select x.publication from given x), p_schema, p_name, p_key))
      r (kind "char", persistence "char", may_read boolean, identity "char", identity_columns text[], generated text, is_published boolean, has_publication boolean, is_deferrable boolean) on true
  )
  select f.severity, a.relation, f.finding, f.remedy
  from asked a
  cross join lateral (values
    (1, a.kind is null, 'error', 'it does not exist', 'Check the name, and the quotes where it is not all lower case.'),
    (2, a.kind not in ('r', 'p'), 'error', 'it is no table, and only tables are in the WAL', 'Use capture => ''full''.'),
    (3, a.persistence <> 'p', 'error', 'it is unlogged or temporary, so its changes are not in the WAL', format('alter table %s set logged;', a.relation)),
    (4, not a.may_read, 'error', 'the role of the source may not read it', format('grant select on %s to <role>;', a.relation)),
    (5, not p_inserts_only and (a.identity = 'n' or a.identity in ('d', 'i') and a.identity_columns is null), 'error',
        'it has no replica identity: once published, the application''s own UPDATE and DELETE on it would fail',
        format('alter table %s replica identity full; -- by its owner, or register it with inserts_only => true', a.relation)),
    (6, not p_inserts_only and a.kind = 'p' and p_key is null and (p_pipeline is not null or a.identity_columns is null), 'error', 'it is partitioned and has no key, so a new partition without replica identity would break the application',
        'Use capture => ''full'', or inserts_only => true.'),
    (7, not p_inserts_only and p_key is null and p_pipeline is not null and a.identity <> 'f' and a.identity_columns is not null, 'error', 'it is treated as keyless, and its replica identity does not tell whole rows',
        format('alter table %s replica identity full; -- by its owner, or register it with its key', a.relation)),
    (8, not p_inserts_only and p_key is not null and a.identity <> 'f' and not p_key <@ a.identity_columns, 'error',
        format('its replica identity (%s) does not hold the key (%s)', array_to_string(a.identity_columns, ', '), array_to_string(p_key, ', ')),
        format('Register it with that key, or: alter table %s replica identity full;', a.relation)),
    (8, not p_inserts_only and a.is_deferrable, 'error', 'its key is deferrable, so two rows may exchange theirs, which the WAL does not tell from a deleted row',
        'Use capture => ''full'', or key => ''{}'' with replica identity full.'),
    (9, a.generated is not null and exists (
          select from etl.source_table t join etl.source_column c on c.source_table_id = t.source_table_id
          where t.source = p_source and t.source_schema = p_schema and t.source_name = p_name and c.mask is distinct from 'drop'
            and quote_ident(c.column_name) = any (string_to_array(a.generated, ', '))), 'error',
        format('generated columns are not in the WAL: %s', a.generated), 'Leave them out with drop_columns, or use capture => ''full''.'),
    (10, p_pipeline is not null and a.kind in ('r', 'p') and not a.is_published, 'error', format('it is not in publication %I', a.publication),
        case when a.has_publication then format('alter publication %I add table %s;', a.publication, a.relation)
             else format('create publication %I for table %s with (publish_via_partition_root = true%s);', a.publication, a.relation,
                         case when p_inserts_only then ', publish = ''insert''' else '' end) end)
  ) f (number, applies, severity, finding, remedy)
  where f.applies
  order by f.number
$$;

comment on function etl.check_table(text, text, text, text, text[], boolean) is
  'What a table at the source lacks for capture by log into p_pipeline. Needs the open connection. Internal.';
revoke all on function etl.check_table(text, text, text, text, text[], boolean) from public;
