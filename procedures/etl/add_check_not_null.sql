-- Contract: registers the built-in check that no null in a column; changes nothing else.
create or replace procedure etl.add_check_not_null(
  pipeline text, relation text, column_name text, severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  call etl.add_check(pipeline, coalesce(name, format('%s.%s is not null', relation, column_name)), severity,
    format('select t.* from %s t where t.%I is null', relation::regclass, column_name));
end
$$;

comment on procedure etl.add_check_not_null(text, text, text, text, text) is
  'Registers the check: no null in a column. relation: table with its schema; column_name: column that must not be null; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_not_null(text, text, text, text, text) from public;
