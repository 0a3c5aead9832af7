-- Contract: forgets a fact table and the steps that load it, and drops it if etl.add_fact() made it. What a view or anything else needs of it
-- is not dropped: that is an error.
create or replace procedure etl.remove_fact(fact text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_fact etl.fact;
begin
  delete from etl.fact f where f.fact = remove_fact.fact returning f.* into v_fact;
  if v_fact.fact is null then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no fact %s', remove_fact.fact),
      hint = 'The registered ones: select fact from etl.fact;';
  end if;
  delete from dwh.facts_by_day d where d.fact = v_fact.fact;
  perform etl.drop_target(v_fact.fact, v_fact.is_made);
end
$$;

comment on procedure etl.remove_fact(text) is
  'Forgets a fact table with its steps, and drops it if etl.add_fact() made it. Raises 42704, 2BP01 while something depends on it. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_fact(text) from public;
