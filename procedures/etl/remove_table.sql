-- Contract: ends the mirroring of a table: drops its foreign table, mirror and change set, and forgets its quarantine. What
-- it brought into dwh stays. At the source it leaves no slot and no publication of ours that nothing else uses. Refuses while a step of its pipeline reads it, or while captured changes wait to be published.
create or replace procedure etl.remove_table(source text, source_table text, force boolean default false)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_table constant etl.source_table := etl.find_table(remove_table.source, remove_table.source_table);
  v_stages text;
  v_waiting bigint;
begin
  perform etl.lock_pipeline(v_table.pipeline);
  select string_agg(g.stage, ', ' order by g.stage) into v_stages from etl.stage g where g.mirror = v_table.mirror;
  select coalesce(sum(t.rows_inserted + t.rows_updated + t.rows_deleted), 0)::bigint into v_waiting
  from etl.batch_table t
  join etl.batch b on b.batch_id = t.batch_id
  where t.mirror = v_table.mirror and b.published_at is null;
  if not remove_table.force and (v_stages is not null or v_waiting > 0) then
    raise exception using
      errcode = 'dependent_objects_still_exist',
      message = format('mirror %s is still needed: read by stages: %s; changes waiting to be published: %s',
                       v_table.mirror, coalesce(v_stages, 'none'), v_waiting),
      hint = 'Publish first with call etl.run(…), take its stages out of etl.stage, or remove it all the same with force => true.';
  end if;
  if stg.is_copy(v_table.mirror) then
    perform stg.end_copy(v_table.mirror, false);
  end if;
  perform etl.drop_capture(v_table);
  delete from etl.batch_table t using etl.batch b where b.batch_id = t.batch_id and t.mirror = v_table.mirror and b.published_at is null;
  delete from stg.quarantine q where q.mirror = v_table.mirror;
  delete from etl.source_table t where t.source_table_id = v_table.source_table_id;
  execute format('drop foreign table %I.%I', v_table.source, v_table.mirror);
  execute format('drop table mrr.%I', v_table.mirror);
  execute format('drop table stg.%I', v_table.mirror || '_changes');
  delete from etl.layout l where l.relation = format('mrr.%I', v_table.mirror);
end
$$;

comment on procedure etl.remove_table(text, text, boolean) is
  'Ends the mirroring of a table and drops its mirror and change set; dwh keeps what it has. force: although stages read it or changes wait. Raises 42704, 2BP01, 55P03. For the administrator (member of headrace_owner).';
revoke all on procedure etl.remove_table(text, text, boolean) from public;
