-- Contract: has mysql_fdw connect anew the next time, so that what is read then comes from a new snapshot; and ends the transaction
-- that the old connection holds open at the source as soon as p_leave connects anew at once, by a look that reads no table.
-- The wrapper offers no other way: it closes a connection when its server was altered, also if that was rolled back.
-- Other wrappers keep no transaction. Returns the SQLSTATE with which the source was found to be away; null if it was not.
create or replace function etl.renew_connection(p_source text, p_leave boolean)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sqlstate text;
begin
  if not exists (select from etl.source s where s.source = p_source and s.fdw = 'mysql_fdw') then
    return null;
  end if;
  begin
    execute format('alter server %I options (set fetch_size %L)', p_source, (
      select o.option_value from pg_foreign_server s cross join pg_options_to_table(s.srvoptions) o
      where s.srvname = p_source and o.option_name = 'fetch_size'));
    raise exception using errcode = 'HR000', message = 'altered; what it was altered for is done';
  exception when sqlstate 'HR000' then
    null;
  end;
  if p_leave then
    execute format('select from %I._hr_columns limit 0', p_source);
  end if;
  return null;
exception when others then
  get stacked diagnostics v_sqlstate = returned_sqlstate;
  return etl.source_sqlstate(v_sqlstate, sqlerrm);
end
$$;

comment on function etl.renew_connection(text, boolean) is
  'Has a source over mysql_fdw be read from a new snapshot; p_leave: and ends the old one at once. Returns the SQLSTATE of a source that is away. Internal.';
revoke all on function etl.renew_connection(text, boolean) from public;
