-- Contract: registers the built-in check that two queries that each return one number agree; changes nothing else.
create or replace procedure etl.add_check_sum_preserved(
  pipeline text, from_query text, to_query text, severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  call etl.add_check(pipeline, coalesce(name, format('%s equals %s', from_query, to_query)), severity,
    format('select f.value as from_value, t.value as to_value from (select (%s)::numeric as value) f cross join (select (%s)::numeric as value) t where f.value is distinct from t.value', from_query, to_query));
end
$$;

comment on procedure etl.add_check_sum_preserved(text, text, text, text, text) is
  'Registers the check: two queries that each return one number agree. from_query, to_query: SELECTs that return one number each, one for each layer; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_sum_preserved(text, text, text, text, text) from public;
