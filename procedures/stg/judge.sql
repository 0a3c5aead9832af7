-- Contract: the judging step. For every change set that the step's stages read it lets rows leave quarantine whose source
-- row is gone or changed, and puts unfit rows there; what stays in the change set is fit for dwh. No row is dropped.
create or replace function stg.judge(p_batch bigint, p_step etl.step)
returns etl.row_counts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_counts etl.row_counts := etl.counts();
  v_change_set record;
  v_read bigint;
begin
  for v_change_set in
    select g.stage, t.mirror, t as source_table, b.rows_inserted, b.rows_deleted
    from etl.stage g
    join etl.source_table t on t.mirror = g.mirror
    join etl.batch_table b on b.mirror = g.mirror and b.batch_id = p_batch
    where g.stage = any ((p_step).stages)
    order by g.stage, g.mirror
  loop
    if stg.is_copy(v_change_set.mirror) then
      v_read := v_change_set.rows_inserted + v_change_set.rows_deleted;
    else
      execute format('select count(*) from stg.%I where _hr_batch = $1', v_change_set.mirror || '_changes') into v_read using p_batch;
    end if;
    v_counts.rows_read := v_counts.rows_read + v_read;
    v_counts.rows_deleted := v_counts.rows_deleted + stg.release_quarantine(v_change_set.source_table, p_batch);
    v_counts.rows_quarantined := v_counts.rows_quarantined + stg.quarantine_unfit(v_change_set.source_table, v_change_set.stage, p_batch, v_read);
  end loop;
  return v_counts;
end
$$;

comment on function stg.judge(bigint, etl.step) is
  'Step: judges the change sets that the step''s stages read; unfit rows go to stg.quarantine, and rows whose source row left or changed leave it. Internal.';
revoke all on function stg.judge(bigint, etl.step) from public;
