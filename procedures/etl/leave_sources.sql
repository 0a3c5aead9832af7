-- Contract: ends what a pipeline's reading holds open at sources that are read through foreign tables, and returns p_error, if
-- there is one, with the SQLSTATE of class 08 where such a source is away: a wrapper does not always say so.
create or replace function etl.leave_sources(p_pipeline text, p_error etl.failure default null)
returns etl.failure
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_error etl.failure := p_error;
  v_source text;
  v_away text;
begin
  if v_error.sqlstate like 'HV%' then
    v_error.sqlstate := etl.source_sqlstate(v_error.sqlstate, v_error.message);
  end if;
  for v_source in select distinct t.source from etl.source_table t where t.pipeline = p_pipeline and t.enabled and etl.is_foreign(t.source) loop
    v_away := etl.renew_connection(v_source, true);
    if v_away like '08%' and (v_error.sqlstate like 'HV%' or v_error.sqlstate like '08%') then
      v_error.sqlstate := v_away;
      v_error.hint := format('Source %s cannot be reached. The next run tries again.', v_source);
    end if;
  end loop;
  return v_error;
end
$$;

comment on function etl.leave_sources(text, etl.failure) is
  'Ends what a pipeline holds open at sources over other wrappers, and returns p_error with class 08 where one is away. Internal.';
revoke all on function etl.leave_sources(text, etl.failure) from public;
