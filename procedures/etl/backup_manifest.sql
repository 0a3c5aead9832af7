-- requires: etl.table_digest, etl.backup_tables
-- Contract: what a backup of p_layers that is taken in the caller's snapshot holds, as one JSON object: versions, newest batches,
-- position in each source, and rows and digest of every table. etl.compare_backup() holds a restored warehouse against it.
-- No password is in it: a user mapping is named with its user alone.
create or replace function etl.backup_manifest(p_layers text[])
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'format', 1,
    'taken_at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'layers', array_to_string(p_layers, ' '),
    'postgresql', current_setting('server_version'),
    'revision', (select v.version_num from public.alembic_version v),
    'database', d.datname,
    'encoding', pg_encoding_to_char(d.encoding),
    'lc_collate', d.datcollate,
    'lc_ctype', d.datctype,
    'system_identifier', (select c.system_identifier::text from pg_control_system() c),
    'warehouse', (select w.warehouse_id from etl.warehouse w),
    'batch', (select max(b.batch_id) from etl.batch b where b.published_at is not null),
    'pipelines', (
      select jsonb_object_agg(p.pipeline, jsonb_build_object(
        'captured', (select max(b.batch_id) from etl.batch b where b.pipeline = p.pipeline),
        'published', (select max(b.batch_id) from etl.batch b where b.pipeline = p.pipeline and b.published_at is not null)))
      from etl.pipeline p),
    'sources', (
      select jsonb_object_agg(s.source, jsonb_build_object(
        'user', (select max(o.option_value) from pg_user_mappings m cross join pg_options_to_table(m.umoptions) o
                 where m.srvname = s.source and m.usename = 'headrace_owner' and o.option_name = 'user'),
        'batch', b.batch_id, 'captured_at', b.captured_at, 'snapshot', b.snapshot, 'lsn', b.lsn,
        'system_identifier', b.system_identifier::text, 'timeline', b.timeline,
        'slots', (select jsonb_object_agg(x.slot_name, x.position) from etl.slot x where x.source = s.source)))
      from etl.source s
      left join lateral (select x.* from etl.batch_source x where x.source = s.source order by x.batch_id desc limit 1) b on true),
    'rights', (
      select jsonb_agg(jsonb_build_object('grantee', a.grantee::regrole, 'privilege', a.privilege_type, 'grantable', a.is_grantable))
      from aclexplode(d.datacl) a where a.grantee <> 0 and a.grantee <> d.datdba),
    'settings', (select jsonb_agg(x.setting) from pg_db_role_setting s cross join unnest(s.setconfig) x (setting)
                 where s.setdatabase = d.oid and s.setrole = 0),
    'tables', (
      select jsonb_object_agg(t.relation::text, jsonb_build_object('layer', t.layer,
        'root', (select p.root::regclass::text from (select pg_partition_root(t.relation)) p (root)), 'rows', g.rows, 'digest', g.digest))
      from etl.backup_tables(p_layers) t cross join lateral etl.table_digest(t.relation) g))
  from pg_database d
  where d.datname = current_database()
$$;

comment on function etl.backup_manifest(text[]) is
  'Manifest of a backup of p_layers (mrr, stg, dwh, etl, base) taken in this snapshot. For the administrator, or a role that makes backups.';
revoke all on function etl.backup_manifest(text[]) from public;
