-- requires: etl.option_list
-- Contract: registers an operational database, or files: a foreign server and a schema for its foreign tables, both of the source's
-- name, and the user mapping of headrace_owner. Called again it changes options, user and password.
-- The connection is tried before anything is kept, as far as the wrapper can without a table. Pass the password as a bound
-- parameter, so that no log shows it; errors raised here never do.
create or replace procedure etl.add_source(
  source text, options jsonb default '{}', username text default null, password text default null, fdw text default 'postgres_fdw')
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_source constant text := add_source.source;
  v_fdw constant text := add_source.fdw;
  v_options constant jsonb := add_source.options;
  v_is_new constant boolean := not exists (select from etl.source s where s.source = v_source);
  v_error etl.failure;
begin
  if v_source is null or v_source = '' or octet_length(v_source) > 55 or v_source like 'pg\_%'
     or v_is_new and to_regnamespace(quote_ident(v_source)) is not null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('a source cannot be named %s', coalesce(quote_ident(v_source), 'null')),
      hint = 'The name becomes a schema for its foreign tables: 1 to 55 bytes, not one of a schema that exists, not pg_….';
  elsif not v_is_new and not exists (select from etl.source s where s.source = v_source and s.fdw = v_fdw) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('source %s is read with another foreign data wrapper than %s', v_source, v_fdw),
      hint = format('Register it under another name, or forget it first: call etl.remove_source(%L);', v_source);
  elsif jsonb_typeof(v_options) is distinct from 'object' or v_options ?| array['user', 'username', 'password', 'passfile']
        or v_fdw = 'postgres_fdw' and not v_options ?& array['host', 'dbname'] then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('options of source %s must be an object, for PostgreSQL with at least host and dbname, and without user and password', v_source),
      hint = 'Example: options => ''{"host": "db1", "port": "5432", "dbname": "shop"}'', username => ''headrace_source'', password => $1.';
  end if;
  if v_fdw is distinct from 'postgres_fdw' then
    perform etl.check_wrapper(v_fdw);
  end if;

  begin
    perform etl.make_server(v_source, v_fdw, v_options, add_source.username, add_source.password);
    perform etl.try_source(v_source);
  exception when others then
    get stacked diagnostics v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail,
                            v_error.hint = pg_exception_hint;
  end;
  if v_error.sqlstate is not null then
    raise exception using
      errcode = etl.source_sqlstate(v_error.sqlstate, v_error.message),
      message = format('source %s was not registered: %s', v_source, etl.without(v_error.message, add_source.password)),
      detail = coalesce(etl.without(v_error.detail, add_source.password), ''),
      hint = coalesce(nullif(etl.without(v_error.hint, add_source.password), ''),
        case v_fdw when 'postgres_fdw' then 'Check host, port, dbname, user and password, and that pg_hba.conf of the source lets this server in with a password.'
                   else 'Check host, port, user and password, and that the source lets this user in from this server.' end);
  end if;
end
$$;

comment on procedure etl.add_source(text, jsonb, text, text, text) is
  'Registers a source or changes its connection. source: its name, also of its server and schema; options: of the foreign server as a JSON object (for PostgreSQL libpq''s host, port, dbname, sslmode …); username, password: of the role that reads there, password as a bound parameter; fdw: the foreign data wrapper, by default postgres_fdw; mysql_fdw, file_fdw, tds_fdw or another one that is installed. Raises 22023 for bad arguments, 42704 or 42501 where the wrapper cannot be used, 0A000 for PostgreSQL older than 13, or the connection''s own error. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_source(text, jsonb, text, text, text) from public;
