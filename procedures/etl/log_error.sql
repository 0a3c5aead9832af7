-- Contract: writes one caught error with all that PostgreSQL said of it. Must be called outside the block that failed.
create or replace function etl.log_error(p_run_id bigint, p_error etl.failure)
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into etl.procedure_errors (run_id, pipeline, step, routine, sqlstate, message, detail, hint, context)
  values (p_run_id, (select r.pipeline from etl.run_log r where r.run_id = p_run_id), (p_error).step, (p_error).routine,
          (p_error).sqlstate, (p_error).message, nullif((p_error).detail, ''), nullif((p_error).hint, ''), nullif((p_error).context, ''))
$$;

comment on function etl.log_error(bigint, etl.failure) is
  'Writes a caught error to etl.procedure_errors; p_run_id may be null outside a run. Internal.';
revoke all on function etl.log_error(bigint, etl.failure) from public;
