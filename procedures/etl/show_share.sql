-- requires: etl.lock_class
-- Contract: shows other sessions what one of several processes that share the work of a run has done of its part, in percent. Such a process can
-- neither write nor change a setting, so each percent is left as a shared advisory lock until its work ends, and etl.progress finds it.
-- Invariant: waits for nobody.
create or replace function etl.show_share(p_run_id bigint, p_part integer, p_done bigint, p_total bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_percent constant integer := (100 * p_done / p_total)::integer;
begin
  if v_percent > 100 * (p_done - 1) / p_total then
    perform pg_try_advisory_xact_lock_shared(etl.lock_class() + 1, ((p_run_id & 65535) << 12)::integer | (p_part << 7) | v_percent);
  end if;
end
$$;

comment on function etl.show_share(bigint, integer, bigint, bigint) is
  'Shows what a process that helps run p_run_id has done of its part p_part (0 to 31): p_done of p_total. Internal.';
revoke all on function etl.show_share(bigint, integer, bigint, bigint) from public;
