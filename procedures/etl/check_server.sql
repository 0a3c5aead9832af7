-- Contract: what a source as a whole lacks for capture by log; the part of etl.check_source() that speaks of no table.
create or replace function etl.check_server(p_source text)
returns table (severity text, subject text, finding text, remedy text)
language sql
set search_path = pg_catalog, pg_temp
as $$
  with server as (
    select r.*
    from etl_ext.dblink('headrace_' || p_source,
      'select pg_is_in_recovery(), current_setting(''wal_level''), current_setting(''max_replication_slots'')::integer,'
      '       current_setting(''max_wal_senders'')::integer, current_setting(''max_slot_wal_keep_size''), (select count(*) from pg_replication_slots),'
      '       u.rolreplication or u.rolsuper, u.rolname, u.rolsuper'
      ' from pg_roles u where u.rolname = current_user')
      r (is_standby boolean, wal_level text, max_slots integer, max_senders integer, keep_size text, slots bigint, may_replicate boolean, role_name text, is_superuser boolean)
  )
  select f.severity, 'source ' || p_source, f.finding, f.remedy
  from server s
  cross join lateral (values
    (1, s.is_standby, 'error', 'it is a standby, which has no slots of its own', 'Register the primary: call etl.add_source(…) with its host.'),
    (2, s.wal_level <> 'logical', 'error', format('wal_level is %s', s.wal_level), 'alter system set wal_level = ''logical''; -- then restart the source'),
    (3, not s.may_replicate, 'error', format('role %I may not replicate', s.role_name), format('alter role %I replication;', s.role_name)),
    (4, s.slots >= s.max_slots, 'error', format('all %s replication slots are taken', s.max_slots), format('alter system set max_replication_slots = %s; -- then restart the source', s.max_slots + 10)),
    (5, s.keep_size = '-1', 'warning', 'max_slot_wal_keep_size is unlimited, so a warehouse that is forgotten fills the disk', 'alter system set max_slot_wal_keep_size = ''50GB''; select pg_reload_conf();'),
    (6, s.is_superuser, 'warning', format('role %I is a superuser', s.role_name), 'Make a role that may only read and replicate, and register the source with it.')
  ) f (number, applies, severity, finding, remedy)
  where f.applies
  order by f.severity, f.number
$$;

comment on function etl.check_server(text) is
  'What a source as a whole lacks for capture by log. Needs the open connection. Internal.';
revoke all on function etl.check_server(text) from public;
