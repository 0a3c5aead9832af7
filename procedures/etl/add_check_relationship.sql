-- Contract: registers the built-in check that every value of a column stands in another table's column; null is accepted; changes nothing else.
-- OFFSET keeps the other column a subquery of its own, which Citus needs to join what is distributed differently.
create or replace procedure etl.add_check_relationship(
  pipeline text, relation text, column_name text, to_relation text, to_column text, severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  call etl.add_check(pipeline, coalesce(name, format('%s.%s is in %s.%s', relation, column_name, to_relation, to_column)), severity,
    format('select t.* from %1$s t where t.%2$I is not null and not exists (select 1 from (select x.%4$I from %3$s x offset 0) o where o.%4$I = t.%2$I)', relation::regclass, column_name, to_relation::regclass, to_column));
end
$$;

comment on procedure etl.add_check_relationship(text, text, text, text, text, text, text) is
  'Registers the check: every value of a column stands in another table''s column; null is accepted. relation, column_name: column whose values are looked up; to_relation, to_column: where they must be found; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_relationship(text, text, text, text, text, text, text) from public;
