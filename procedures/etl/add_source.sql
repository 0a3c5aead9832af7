-- Contract: registers an operational database: a foreign server and a schema for its foreign tables, both of the source's
-- name, and the user mapping of headrace_owner. Called again it changes options, user and password.
-- The connection is tried before anything is kept. Pass the password as a bound parameter, so that no log shows it;
-- errors raised here never do.
create or replace procedure etl.add_source(
  source text, options jsonb, username text, password text, fdw text default 'postgres_fdw')
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  -- both ends notice a peer that is gone within a minute; else the source would keep the session, and its snapshot, for hours
  c_options constant jsonb := '{"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000", "options": "-c lock_timeout=30s -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=60000"}';
  v_source constant text := add_source.source;
  v_options jsonb := add_source.options;
  v_is_new constant boolean := not exists (select from etl.source s where s.source = v_source);
  v_error etl.failure;
  v_version integer;
begin
  if v_source is null or v_source = '' or octet_length(v_source) > 55 or v_source like 'pg\_%'
     or v_is_new and to_regnamespace(quote_ident(v_source)) is not null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('a source cannot be named %s', coalesce(quote_ident(v_source), 'null')),
      hint = 'The name becomes a schema for its foreign tables: 1 to 55 bytes, not one of a schema that exists, not pg_….';
  elsif add_source.fdw <> 'postgres_fdw' then
    raise exception using
      errcode = 'feature_not_supported',
      message = format('sources over %s cannot be captured', add_source.fdw),
      hint = 'Use fdw => ''postgres_fdw''.';
  elsif jsonb_typeof(v_options) <> 'object' or v_options ?| array['user', 'password', 'passfile'] or not v_options ?& array['host', 'dbname'] then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('options of source %s must be an object with at least host and dbname, and without user and password', v_source),
      hint = 'Example: options => ''{"host": "db1", "port": "5432", "dbname": "shop"}'', username => ''headrace_source'', password => $1.';
  end if;
  v_options := c_options || v_options;

  begin
    if v_is_new then
      execute format('create server %I foreign data wrapper postgres_fdw', v_source);
      execute format('create schema %I', v_source);
      execute format('comment on schema %I is %L', v_source, 'Foreign tables of the source ' || v_source || '; never written.');
      execute format('create user mapping for headrace_owner server %I', v_source);
      insert into etl.source (source) values (v_source);
    end if;
    execute format('alter server %I options (%s)', v_source, array_to_string(array(
      select format(case when o.key in (select x.option_name from pg_options_to_table(s.srvoptions) x) then 'set %I %L' else 'add %I %L' end,
                    o.key, o.value)
      from jsonb_each_text(v_options) o
      cross join pg_foreign_server s
      where s.srvname = v_source), ', '));
    execute format('alter user mapping for headrace_owner server %2$I options (%1$s user %3$L, %1$s password %4$L)',
                   case when (select m.umoptions is null from pg_user_mappings m where m.srvname = v_source and m.usename = 'headrace_owner')
                        then 'add' else 'set' end,
                   v_source, add_source.username, add_source.password);
    perform etl.connect_source(v_source);
    select r.version into v_version
    from etl_ext.dblink('headrace_' || v_source, 'select current_setting(''server_version_num'')::integer') r (version integer);
    perform etl.disconnect_source(v_source);
  exception when others then
    get stacked diagnostics v_error.sqlstate = returned_sqlstate, v_error.message = message_text, v_error.detail = pg_exception_detail;
    v_error.detail := replace(v_error.detail, add_source.password, '***');
  end;
  if v_error.sqlstate is not null then
    raise exception using
      errcode = v_error.sqlstate,
      message = format('source %s was not registered: %s', v_source, v_error.message),
      detail = coalesce(v_error.detail, ''),
      hint = 'Check host, port, dbname, user and password, and that pg_hba.conf of the source lets this server in with a password.';
  elsif v_version < 130000 then
    raise exception using
      errcode = 'feature_not_supported',
      message = format('source %s runs PostgreSQL %s', v_source, v_version / 10000),
      hint = 'A source must run PostgreSQL 13 or newer.';
  end if;
end
$$;

comment on procedure etl.add_source(text, jsonb, text, text, text) is
  'Registers a source database or changes its connection. source: its name, also of its server and schema; options: libpq options of the server as a JSON object (host, port, dbname, sslmode …); username, password: of the read-only role there, password as a bound parameter; fdw: postgres_fdw. Raises 22023 for bad arguments, 0A000 for a source older than PostgreSQL 13, or the connection''s own error. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_source(text, jsonb, text, text, text) from public;
