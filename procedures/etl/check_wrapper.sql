-- Contract: raises with what a superuser has to run where a foreign data wrapper is not here or headrace_owner may not use it. To
-- read files, as file_fdw does, a role needs to be a member of pg_read_server_files besides.
create or replace function etl.check_wrapper(p_fdw text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wrapper oid := (select w.oid from pg_foreign_data_wrapper w where w.fdwname = p_fdw);
begin
  if v_wrapper is null then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no foreign data wrapper %s in this database', coalesce(quote_ident(p_fdw), 'null')),
      hint = format('As a superuser, here: create extension %1$I; grant usage on foreign data wrapper %1$I to headrace_owner;', p_fdw);
  elsif not has_foreign_data_wrapper_privilege('headrace_owner', v_wrapper, 'usage') then
    raise exception using
      errcode = 'insufficient_privilege',
      message = format('headrace_owner may not use the foreign data wrapper %I', p_fdw),
      hint = format('As a superuser, here: grant usage on foreign data wrapper %I to headrace_owner;', p_fdw);
  elsif p_fdw = 'file_fdw' and not pg_has_role('headrace_owner', 'pg_read_server_files', 'usage') then
    raise exception using
      errcode = 'insufficient_privilege',
      message = 'headrace_owner may not read files of this server',
      hint = 'As a superuser: grant pg_read_server_files to headrace_owner; which lets administrators of the warehouse read every file that the server can.';
  end if;
end
$$;

comment on function etl.check_wrapper(text) is
  'Raises 42704 or 42501, with the statement that helps, where a foreign data wrapper cannot be used. Internal.';
revoke all on function etl.check_wrapper(text) from public;
