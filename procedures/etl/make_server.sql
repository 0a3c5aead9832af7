-- requires: etl.option_list
-- Contract: makes what a source has here, or changes its options, user and password: the foreign server, the schema, the user
-- mapping of headrace_owner, and for mysql_fdw the foreign table that its catalogue is read through.
create or replace function etl.make_server(p_source text, p_fdw text, p_options jsonb, p_username text, p_password text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_new constant boolean := not exists (select from etl.source s where s.source = p_source);
  v_options constant jsonb := etl.default_options(p_fdw) || p_options;
  v_user constant jsonb := jsonb_strip_nulls(jsonb_build_object(case p_fdw when 'postgres_fdw' then 'user' else 'username' end, p_username, 'password', p_password));
  v_user_named constant jsonb := v_user - 'username' || jsonb_strip_nulls(jsonb_build_object('user', p_username));
  v_present text[];
begin
  if v_is_new then
    execute format('create server %I foreign data wrapper %I', p_source, p_fdw);
    execute format('create schema %I', p_source);
    execute format('comment on schema %I is %L', p_source, 'Foreign tables of the source ' || p_source || '; never written.');
    execute format('create user mapping for headrace_owner server %I', p_source);
    insert into etl.source (source, fdw) values (p_source, p_fdw);
  end if;
  if v_options <> '{}' then
    execute format('alter server %I options (%s)', p_source,
                   etl.option_list(v_options, (select coalesce(s.srvoptions, '{}') from pg_foreign_server s where s.srvname = p_source)));
  end if;
  if v_user <> '{}' then
    v_present := (select coalesce(m.umoptions, '{}') from pg_user_mappings m where m.srvname = p_source and m.usename = 'headrace_owner');
    begin
      execute format('alter user mapping for headrace_owner server %I options (%s)', p_source, etl.option_list(v_user, v_present));
    exception when fdw_invalid_option_name then -- wrappers call it the one or the other
      execute format('alter user mapping for headrace_owner server %I options (%s)', p_source,
                     etl.option_list(v_user_named, v_present));
    end;
  end if;
  if v_is_new and p_fdw = 'mysql_fdw' then
    execute format('create foreign table %I._hr_columns (table_schema varchar, table_name varchar, column_name varchar, ordinal_position bigint,'
                   ' column_default text, is_nullable varchar, column_type text, column_key varchar, extra varchar)'
                   ' server %1$I options (dbname ''information_schema'', table_name ''COLUMNS'')', p_source);
    execute format('comment on foreign table %I._hr_columns is %L', p_source, 'Columns at the source ' || p_source || '.');
  end if;
end
$$;

comment on function etl.make_server(text, text, jsonb, text, text) is
  'Makes or changes the foreign server, schema and user mapping of a source. Internal.';
revoke all on function etl.make_server(text, text, jsonb, text, text) from public;
