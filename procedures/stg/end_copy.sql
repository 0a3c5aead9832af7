-- Contract: gives a mirror its table of changes back after a copy (mrr.begin_copy). With p_is_written the copy's rows are
-- written into it first: the batch still waits, and the mirror is about to change. Waits for who reads it (etl.await_lock).
create or replace function stg.end_copy(p_mirror text, p_is_written boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant integer := (select t.source_table_id from etl.source_table t where t.mirror = p_mirror);
begin
  perform etl.await_lock(array(
    select format('stg.%I', x.relation)
    from unnest(array[p_mirror || '_changes', p_mirror || '_written']) x (relation)
    where to_regclass(format('stg.%I', x.relation)) is not null));
  if p_is_written then
    execute format('insert into stg.%I (%s, _hr_batch, _hr_op) select %s, c._hr_batch, ''I'' from mrr.%I c where c._hr_batch in ('
                   '   select b.batch_id from etl.batch b join etl.batch_table t on t.batch_id = b.batch_id where t.mirror = $1 and b.published_at is null)',
      p_mirror || '_written', etl.column_list(v_id, '%1$I'), etl.column_list(v_id, 'c.%1$I'), p_mirror)
      using p_mirror;
  end if;
  execute format('drop view if exists stg.%I', p_mirror || '_changes');
  execute format('alter table stg.%I rename to %I', p_mirror || '_written', p_mirror || '_changes');
  delete from stg.left_out x where x.mirror = p_mirror;
end
$$;

comment on function stg.end_copy(text, boolean) is
  'Ends the copy of mirror p_mirror: its change set is a table again. p_is_written: with the rows of the copy. Internal.';
revoke all on function stg.end_copy(text, boolean) from public;
