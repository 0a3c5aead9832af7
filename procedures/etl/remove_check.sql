-- Contract: forgets a check; its log stays.
create or replace procedure etl.remove_check(pipeline text, name text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from etl.check_rule r where r.pipeline = remove_check.pipeline and r.check_name = remove_check.name;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('pipeline %s has no check %s', remove_check.pipeline, remove_check.name),
      hint = 'The registered ones: select pipeline, check_name from etl.check_rule;';
  end if;
end
$$;

comment on procedure etl.remove_check(text, text) is
  'Forgets a check of a pipeline. Raises 42704. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_check(text, text) from public;
