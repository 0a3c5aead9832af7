-- Contract: registers a check of a pipeline, or changes it: a query that returns the offending rows. It runs as headrace_owner
-- at the end of every publish that changed something, before readers see it; error stops the publish, warn logs. The
-- query is tried at once; what it finds now does not matter. It is tried in a loop, which takes a single query only.
create or replace procedure etl.add_check(pipeline text, name text, severity text, query text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_pipeline constant text := add_check.pipeline;
  v_query constant text := rtrim(add_check.query, E' \t\n;');
  v_rows bigint;
begin
  -- the query is an administrator's, registered to be run: @plpgsql_check_options: security_warnings = off
  if not exists (select from etl.pipeline p where p.pipeline = v_pipeline) then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', v_pipeline),
      hint = 'The registered ones: select * from etl.pipeline;';
  elsif coalesce(add_check.severity, '') not in ('warn', 'error') then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('a check cannot have severity %s', coalesce(add_check.severity, 'null')),
      hint = 'Use error, which stops the publish, or warn, which only logs.';
  elsif coalesce(add_check.name, '') = '' or coalesce(v_query, '') = '' then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'a check needs a name and a query',
      hint = 'The query returns the offending rows: call etl.add_check(''sales'', ''no gift'', ''error'', ''select * from dwh.fact_sales where qty = 0'');';
  end if;
  insert into etl.check_rule (pipeline, check_name, severity, query)
  values (v_pipeline, add_check.name, add_check.severity, v_query)
  on conflict (pipeline, check_name) do update set severity = excluded.severity, query = excluded.query, enabled = true;
  begin
    for v_rows in execute format(E'select count(*) from (select 1 from (%s\n) q limit 0) t', v_query) loop
      exit when v_rows = 0;
    end loop;
  exception when others then
    raise exception using
      errcode = sqlstate,
      message = format('check %s of pipeline %s does not work: %s', add_check.name, v_pipeline, sqlerrm),
      hint = 'A check is one SELECT that returns the offending rows, with every table named by its schema.';
  end;
end
$$;

comment on procedure etl.add_check(text, text, text, text) is
  'Registers a check. pipeline: whose publishes it judges; name: its name; severity: error or warn; query: SELECT that returns the offending rows. Raises 42704, 22023, or the query''s own error. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check(text, text, text, text) from public;
