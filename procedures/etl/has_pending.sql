-- Contract: whether a run of the pipeline would find anything to do, at the cost of one look at its sources.
create or replace function etl.has_pending(p_pipeline text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_source text;
  v_has_changes boolean;
begin
  if not etl.is_settled(p_pipeline) then
    return true;
  end if;
  for v_source in select distinct t.source from etl.source_table t where t.pipeline = p_pipeline and t.enabled order by 1 loop
    perform etl.connect_source(v_source);
    v_has_changes := etl.has_changes(p_pipeline, v_source, null);
    perform etl.disconnect_source(v_source);
    if v_has_changes then
      return true;
    end if;
  end loop;
  return false;
exception when others then
  perform etl.disconnect_source(); -- what is wrong is for the run to meet and to log
  return true;
end
$$;

comment on function etl.has_pending(text) is
  'Whether a run of the pipeline would find anything to do; moves the position of idle slots. For headrace_runner, through etl.run_loop().';
revoke all on function etl.has_pending(text) from public;
grant execute on function etl.has_pending(text) to headrace_runner;
