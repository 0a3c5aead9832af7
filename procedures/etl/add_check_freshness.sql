-- Contract: registers the built-in check that what is published was captured no longer ago than an interval; changes nothing else.
create or replace procedure etl.add_check_freshness(
  pipeline text, longest interval, severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  call etl.add_check(pipeline, coalesce(name, format('captured within %s', longest)), severity,
    format('select b.batch_id, b.captured_at from etl.batch b where b.pipeline = %L and b.published_run_id is not null and b.captured_at < clock_timestamp() - %L::interval and b.batch_id = (select max(x.batch_id) from etl.batch x where x.pipeline = %1$L and x.published_at is not null)', pipeline, longest));
end
$$;

comment on procedure etl.add_check_freshness(text, interval, text, text) is
  'Registers the check: what is published was captured no longer ago than an interval. longest: longest time between capture and publish; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_freshness(text, interval, text, text) from public;
