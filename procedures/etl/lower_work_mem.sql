-- Contract: for the rest of the transaction lowers work_mem to p_kilobytes, unless it is lower, and returns what it was, for whoever sets it back.
-- What a run changes is small beside what is stored, and what does not fit the processor's cache is no faster in memory.
create or replace function etl.lower_work_mem(p_kilobytes bigint)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before constant text := current_setting('work_mem');
begin
  perform set_config('work_mem', least(p_kilobytes, pg_size_bytes(v_before) / 1024)::text, true);
  return v_before;
end
$$;

comment on function etl.lower_work_mem(bigint) is
  'Lowers work_mem to p_kilobytes for the rest of the transaction and returns what it was. Internal.';
revoke all on function etl.lower_work_mem(bigint) from public;
