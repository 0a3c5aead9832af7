-- Contract: deletes the change sets of a published batch, in the transaction that publishes it.
create or replace function stg.delete_changes(p_batch bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_mirror text;
begin
  for v_mirror in select t.mirror from etl.batch_table t where t.batch_id = p_batch loop
    if stg.is_copy(v_mirror) then
      perform stg.end_copy(v_mirror, false);
    end if;
    execute format('delete from stg.%I where _hr_batch = $1', v_mirror || '_changes') using p_batch;
  end loop;
end
$$;

comment on function stg.delete_changes(bigint) is 'Deletes the change sets of batch p_batch. Internal.';
revoke all on function stg.delete_changes(bigint) from public;
