-- Contract: makes a registered table ready for capture by log, or refuses it with what its owner has to run. The table is put
-- into the pipeline's publication if the source's role owns it; else the message says what the DBA runs, after which the
-- same call succeeds. Never publishes a table whose application that would break.
create or replace function etl.prepare_log(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connection constant text := 'headrace_' || (p_table).source;
  v_publication text;
  v_findings text;
  v_remedies text;
begin
  perform etl.refuse_log(p_table);
  perform etl.refuse_shared_slot(p_table);
  create temporary table headrace_finding on commit drop as
  select s.* from etl.check_server((p_table).source) s
  union all
  select t.* from etl.check_table((p_table).source, (p_table).source_schema, (p_table).source_name, (p_table).pipeline, (p_table).key_columns, (p_table).inserts_only) t;
  begin
    select min(f.remedy) into v_publication
    from pg_temp.headrace_finding f where f.severity = 'error' having count(*) = 1 and bool_and(f.finding like 'it is not in publication %');
    if v_publication is not null then
      perform etl_ext.dblink_exec(v_connection, 'set default_transaction_read_only = off'); -- the role's own default
      perform etl_ext.dblink_exec(v_connection, v_publication);
      delete from pg_temp.headrace_finding f where f.severity = 'error';
    end if;
  exception when insufficient_privilege then
    null; -- the finding stands, and the message below says what the DBA runs
  end;
  select string_agg(format('%s: %s', f.subject, f.finding), '; '), string_agg(f.remedy, E'\n') into v_findings, v_remedies
  from pg_temp.headrace_finding f where f.severity = 'error';
  drop table pg_temp.headrace_finding;
  if v_findings is not null then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('%I.%I of source %s cannot be captured by log: %s', (p_table).source_schema, (p_table).source_name, (p_table).source, v_findings),
      hint = format(E'At the source, as its DBA:\n%s\nThen call etl.add_table again.', v_remedies);
  end if;
end
$$;

comment on function etl.prepare_log(etl.source_table) is
  'Makes a table ready for capture by log, or raises 22023 where it cannot be, 55000 with what has to be run at the source. Needs the open connection. Internal.';
revoke all on function etl.prepare_log(etl.source_table) from public;
