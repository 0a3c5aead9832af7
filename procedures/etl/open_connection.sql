-- Contract: opens a connection of this session to a source under the name p_connection. Text forms are pinned as
-- postgres_fdw pins them, so every value arrives in one exact form.
-- Runs as headrace_owner, whose user mapping serves. Errors: whatever the connection says (class 08 or 28).
create or replace function etl.open_connection(p_connection text, p_source text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform etl_ext.dblink_connect(p_connection, p_source);
  perform etl_ext.dblink_exec(p_connection, format(
    'set search_path = pg_catalog; set datestyle = iso; set intervalstyle = postgres; set timezone = ''UTC'';'
    ' set extra_float_digits = 3; set bytea_output = hex; set application_name = %L',
    'headrace ' || etl.warehouse_id()));
end
$$;

comment on function etl.open_connection(text, text) is
  'Opens this session''s dblink connection p_connection to a registered source. Raises the connection''s own error (class 08, 28). Internal.';
revoke all on function etl.open_connection(text, text) from public;
