-- Contract: stops the publish if a check of severity error found rows; says which checks and how many rows.
create or replace function etl.refuse_failed(p_checks etl.check_report[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_failed constant text := (select string_agg(format('%s (%s rows)', c.check_name, c.rows_found), ', ') from unnest(p_checks) c where c.status = 'failed');
begin
  if v_failed is not null then
    raise exception using
      errcode = 'check_violation',
      message = format('checks failed: %s', v_failed),
      detail = 'Nothing was published; the batches wait, and the next publish takes them together with what mends them.',
      hint = 'The rows: select check_name, sample from etl.check_log where status = ''failed'' order by check_log_id desc;';
  end if;
end
$$;

comment on function etl.refuse_failed(etl.check_report[]) is
  'Raises 23514 if a check of severity error found rows. Internal.';
revoke all on function etl.refuse_failed(etl.check_report[]) from public;
