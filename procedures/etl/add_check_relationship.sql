-- Contract: registers the built-in check that every value of a column stands in another table's column; null is accepted; changes nothing else.
create or replace procedure etl.add_check_relationship(
  pipeline text, relation text, column_name text, to_relation text, to_column text, severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  call etl.add_check(pipeline, coalesce(name, format('%s.%s is in %s.%s', relation, column_name, to_relation, to_column)), severity,
    format('select t.* from %s t where t.%I is not null and not exists (select 1 from %s o where o.%I = t.%I)', relation::regclass, column_name, to_relation::regclass, to_column, column_name));
end
$$;

comment on procedure etl.add_check_relationship(text, text, text, text, text, text, text) is
  'Registers the check: every value of a column stands in another table''s column; null is accepted. relation, column_name: column whose values are looked up; to_relation, to_column: where they must be found; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_relationship(text, text, text, text, text, text, text) from public;
