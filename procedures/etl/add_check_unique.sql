-- Contract: registers the built-in check that no two rows equal in the given columns; changes nothing else.
create or replace procedure etl.add_check_unique(
  pipeline text, relation text, columns text[], severity text default 'error', name text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_columns constant text := (select string_agg(format('t.%I', c.name), ', ' order by c.position) from unnest(columns) with ordinality c (name, position));
begin
  call etl.add_check(pipeline, coalesce(name, format('%s is unique on %s', relation, array_to_string(columns, ', '))), severity,
    format('select %1$s, count(*) as copies from %2$s t group by %1$s having count(*) > 1', v_columns, relation::regclass));
end
$$;

comment on procedure etl.add_check_unique(text, text, text[], text, text) is
  'Registers the check: no two rows equal in the given columns. relation: table with its schema; columns: columns that no two rows may share; severity: error or warn; name: by default made from the rest. Raises what etl.add_check() raises. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_check_unique(text, text, text[], text, text) from public;
