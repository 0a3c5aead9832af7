-- Contract: leaves a mirrored table out of capture, or takes it in again; idempotent. What is mirrored stays as it is. A table
-- captured by log is compared in full when it is taken in again, since its slot went on without it.
create or replace procedure etl.set_enabled(source text, source_table text, enabled boolean)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_table constant etl.source_table := etl.find_table(set_enabled.source, set_enabled.source_table);
begin
  update etl.source_table t
  set enabled = set_enabled.enabled,
      needs_resync = t.needs_resync or t.capture = 'log' and t.copied_at is not null and set_enabled.enabled and not t.enabled
  where t.source_table_id = v_table.source_table_id;
end
$$;

comment on procedure etl.set_enabled(text, text, boolean) is
  'Takes a mirrored table into capture (enabled true) or leaves it out. Raises 42704. For the administrator (member of headrace_owner).';
revoke all on procedure etl.set_enabled(text, text, boolean) from public;
