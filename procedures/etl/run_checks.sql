-- Contract: runs the enabled checks of a pipeline on what the open publish has written and returns their outcomes with a
-- bounded sample of the offending rows. A check whose query fails stops the publish with the query's own SQLSTATE. The
-- loop takes a single query only.
create or replace function etl.run_checks(p_pipeline text)
returns etl.check_report[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rule etl.check_rule;
  v_limit constant integer := (select s.check_sample from etl.settings s);
  v_reports etl.check_report[];
  v_rows bigint;
  v_sample jsonb;
begin
  -- the query is an administrator's, registered to be run: @plpgsql_check_options: security_warnings = off
  for v_rule in select r.* from etl.check_rule r where r.pipeline = p_pipeline and r.enabled order by r.check_id loop
    begin
      for v_rows, v_sample in execute format(E'select count(*), jsonb_agg(to_jsonb(q) - ''_hr_number'') filter (where q._hr_number <= $1)'
                                     ' from (select c.*, row_number() over () as _hr_number from (%s\n) c) q', v_rule.query) using v_limit loop
        null;
      end loop;
    exception when others then
      raise exception using
        errcode = sqlstate,
        message = format('check %s does not work: %s', v_rule.check_name, sqlerrm),
        hint = format('Mend its query with etl.add_check, or: call etl.remove_check(%L, %L);', p_pipeline, v_rule.check_name);
    end;
    v_reports := v_reports || (v_rule.check_name, v_rule.severity,
      case when v_rows = 0 then 'passed' when v_rule.severity = 'warn' then 'warned' else 'failed' end,
      v_rows, v_sample, clock_timestamp())::etl.check_report;
  end loop;
  return v_reports;
end
$$;

comment on function etl.run_checks(text) is
  'Runs the checks of a pipeline within its publish and returns their outcomes. Internal.';
revoke all on function etl.run_checks(text) from public;
