-- Contract: connects to a source, and leaves it again; refuses a PostgreSQL that is too old. Of other wrappers only mysql_fdw can
-- connect without a table; some variables have other names in MySQL and MariaDB, and those that the server takes are kept.
create or replace function etl.try_source(p_source text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fdw constant text := (select s.fdw from etl.source s where s.source = p_source);
  v_look constant text := format('select from %I._hr_columns limit 0', p_source);
  v_version integer;
begin
  if v_fdw = 'postgres_fdw' then
    perform etl.connect_source(p_source);
    select r.version into v_version
    from etl_ext.dblink('headrace_' || p_source, 'select current_setting(''server_version_num'')::integer') r (version integer);
    perform etl.disconnect_source(p_source);
    if v_version < 130000 then
      raise exception using
        errcode = 'feature_not_supported',
        message = format('it runs PostgreSQL %s', v_version / 10000),
        hint = 'A source must run PostgreSQL 13 or newer.';
    end if;
  elsif v_fdw = 'mysql_fdw' then
    execute v_look;
  end if;
exception when fdw_unable_to_establish_connection then
  if sqlerrm !~* 'unknown system variable ''?(transaction_isolation|max_execution_time)' then
    raise;
  end if;
  execute format('alter server %I options (set init_command %L)', p_source, etl.default_options(v_fdw, 'tx_isolation') ->> 'init_command');
  execute v_look;
end
$$;

comment on function etl.try_source(text) is
  'Connects to a source as a trial. Raises the connection''s own error, or 0A000 for PostgreSQL older than 13. Internal.';
revoke all on function etl.try_source(text) from public;
