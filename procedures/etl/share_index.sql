-- Contract: lets several processes make the next indexes of a large table, whatever maintenance_work_mem is: by itself PostgreSQL wants
-- 32 MB of it for each, though what they sort at once need not be that much. Returns whether it did. With p_was_shared, which it then has to
-- be called with in the same transaction, it takes that back. A table whose parallel_workers somebody has set keeps it, and so does one of others.
create or replace function etl.share_index(p_table regclass, p_was_shared boolean default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  c_large constant bigint := 67108864::bigint; -- bytes
  v_helpers constant integer := current_setting('max_parallel_maintenance_workers')::integer;
begin
  if p_was_shared then
    execute format('alter table %s reset (parallel_workers)', p_table);
    return false;
  end if;
  if p_was_shared is not null or v_helpers = 0 or pg_relation_size(p_table) < c_large
     or not exists (select from pg_class c where c.oid = p_table and pg_has_role(c.relowner, 'usage'))
  then
    return false;
  end if;
  execute format('lock table only %s in share update exclusive mode', p_table);
  if exists (select from pg_class c cross join unnest(c.reloptions) o (option) where c.oid = p_table and o.option like 'parallel\_workers=%') then
    return false;
  end if;
  execute format('alter table %s set (parallel_workers = %s)', p_table, v_helpers);
  return true;
end
$$;

comment on function etl.share_index(regclass, boolean) is
  'Lets several processes make the next indexes of p_table if it is large, and says whether; p_was_shared: what it said, afterwards. Internal.';
revoke all on function etl.share_index(regclass, boolean) from public;
