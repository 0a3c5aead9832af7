-- Contract: returns the id that the names of this warehouse's jobs, slots and publications carry.
-- Invariant: a clone or a copy restored elsewhere never acts under its origin's id. The row remembers the cluster and the
-- database that the id was given to; where they differ, the database is a copy and gets an id of its own.
create or replace function etl.warehouse_id()
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_system_identifier constant bigint := (select c.system_identifier from pg_control_system() c);
  v_database_oid constant oid := (select d.oid from pg_database d where d.datname = current_database());
  v_id text;
begin
  select w.warehouse_id into v_id
  from etl.warehouse w
  where w.system_identifier = v_system_identifier and w.database_oid = v_database_oid;
  if not found then
    update etl.warehouse
    set warehouse_id = substr(replace(gen_random_uuid()::text, '-', ''), 1, 8),
        system_identifier = v_system_identifier,
        database_oid = v_database_oid,
        created_at = clock_timestamp()
    returning warehouse_id into strict v_id;
    update etl.job set is_scheduled = false where is_scheduled;
  end if;
  return v_id;
end
$$;

comment on function etl.warehouse_id() is
  'The id of this warehouse, eight hexadecimal digits. A clone or a copy restored elsewhere is given a new one by its first call. For everyone who may use the schema.';
revoke all on function etl.warehouse_id() from public;
grant execute on function etl.warehouse_id() to headrace_runner, headrace_monitor;
