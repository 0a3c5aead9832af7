-- Contract: refuses a table for capture by log where its pipeline already captures so from another source in the same cluster, such as
-- another database of one server: slots are named by pipeline, and a cluster has one of each name, so that each source would
-- take the other's away, without end.
create or replace function etl.refuse_shared_slot(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_other text;
  v_own bigint;
  v_cluster bigint;
begin
  for v_other in
    select distinct t.source from etl.source_table t
    where t.pipeline = (p_table).pipeline and t.source <> (p_table).source and t.capture = 'log' order by 1
  loop
    v_own := coalesce(v_own, (select s.system_identifier from etl.slot_state((p_table).source, '') s));
    v_cluster := (select s.system_identifier from etl.slot s where s.pipeline = (p_table).pipeline and s.source = v_other);
    if v_cluster is null then
      perform etl.connect_source(v_other);
      v_cluster := (select s.system_identifier from etl.slot_state(v_other, '') s);
      perform etl.disconnect_source(v_other);
    end if;
    if v_own = v_cluster then
      raise exception using
        errcode = 'invalid_parameter_value',
        message = format('pipeline %s captures by log from source %s already, which is in the same PostgreSQL cluster as %s', (p_table).pipeline, v_other, (p_table).source),
        detail = 'A cluster has one slot of a pipeline''s name, and a slot reads one database.',
        hint = 'Register the table in a pipeline of its own, or with capture => ''full'' or ''watermark''.';
    end if;
  end loop;
end
$$;

comment on function etl.refuse_shared_slot(etl.source_table) is
  'Raises 22023 where another source of the pipeline, in the same cluster, is captured by log. Needs the open connection. Internal.';
revoke all on function etl.refuse_shared_slot(etl.source_table) from public;
