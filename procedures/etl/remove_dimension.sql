-- Contract: forgets a dimension and the steps that load it, and drops its table if etl.add_dimension() made it. Refuses while a fact refers to it.
create or replace procedure etl.remove_dimension(dimension text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_facts constant text := (select string_agg(f.fact, ', ' order by f.fact) from etl.fact f where remove_dimension.dimension = any (f.dimensions));
  v_dimension etl.dimension;
begin
  if v_facts is not null then
    raise exception using
      errcode = 'dependent_objects_still_exist',
      message = format('facts refer to dimension %s: %s', remove_dimension.dimension, v_facts),
      hint = 'Remove them first: call etl.remove_fact(…).';
  end if;
  delete from etl.dimension d where d.dimension = remove_dimension.dimension returning d.* into v_dimension;
  if v_dimension.dimension is null then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no dimension %s', remove_dimension.dimension),
      hint = 'The registered ones: select dimension from etl.dimension;';
  end if;
  perform etl.drop_target(v_dimension.dimension, v_dimension.is_made);
end
$$;

comment on procedure etl.remove_dimension(text) is
  'Forgets a dimension with its steps, and drops its table if etl.add_dimension() made it. Raises 42704, 2BP01 while facts refer to it. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_dimension(text) from public;
