-- Contract: makes or renews the view stg.<mirror>_changes of a copy (mrr.begin_copy). What the judge left out is in
-- stg.left_out; the view looks there only if there is anything, since a copy is large. The mirror has no other rows than the
-- copy's, so what is the same in all of them is a constant, which the planner sees through.
create or replace function stg.show_copy(p_mirror text, p_batch bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (select t.source_table_id from etl.source_table t where t.mirror = p_mirror);
begin
  if exists (select from stg.left_out x where x.mirror = p_mirror) then
    execute format(
      'create or replace view stg.%I as select %s, c._hr_seq, c._hr_batch, c._hr_op, c._hr_origin from stg.%I c'
      ' union all select %s, c._hr_id, %s::bigint, ''I''::"char", null::bigint from mrr.%I c'
      ' where not exists (select from stg.left_out x where x.mirror = %L and x.change_seq = c._hr_id)',
      p_mirror || '_changes', etl.column_list(v_id, 'c.%1$I'), p_mirror || '_written', etl.column_list(v_id, 'c.%1$I'), p_batch, p_mirror, p_mirror);
  else
    execute format(
      'create or replace view stg.%I as select %s, c._hr_seq, c._hr_batch, c._hr_op, c._hr_origin from stg.%I c'
      ' union all select %s, c._hr_id, %s::bigint, ''I''::"char", null::bigint from mrr.%I c',
      p_mirror || '_changes', etl.column_list(v_id, 'c.%1$I'), p_mirror || '_written', etl.column_list(v_id, 'c.%1$I'), p_batch, p_mirror);
  end if;
  execute format('comment on view stg.%I is %L', p_mirror || '_changes', 'Change set of mirror ' || p_mirror || ' while its first copy waits: the rows of the mirror.');
end
$$;

comment on function stg.show_copy(text, bigint) is
  'Makes the view that stands for the change set of mirror p_mirror while its copy, batch p_batch, waits. Internal.';
revoke all on function stg.show_copy(text, bigint) from public;
