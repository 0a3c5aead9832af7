-- Contract: registers the built-in check that only accepted values in a column, compared in their text form; null is accepted; changes nothing else.
create or replace procedure etl.add_check_accepted_values(
  pipeline text, relation text, column_name text, accepted text[], severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  call etl.add_check(pipeline, coalesce(name, format('%s.%s is one of %s', relation, column_name, array_to_string(accepted, ', '))), severity,
    format('select t.* from %s t where t.%I::text <> all (%L::text[])', relation::regclass, column_name, accepted));
end
$$;

comment on procedure etl.add_check_accepted_values(text, text, text, text[], text, text) is
  'Registers the check: only accepted values in a column, compared in their text form; null is accepted. relation: table with its schema; column_name: column; accepted: its accepted values in text form; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_accepted_values(text, text, text, text[], text, text) from public;
