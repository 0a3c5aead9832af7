-- Contract: makes etl.batch know every batch that the rows of the mirrors and facts refer to, after a part of the warehouse was
-- restored: an older etl lacks the newest. Each gets the moment of capture that its facts or its dimension versions still
-- tell, else that of the newest batch. Deletes change sets of batches that do not wait, which an older stg brings back. A copy
-- that waits (mrr.begin_copy), here or in the backup, is ended: its change set may have come back as a table, or not at all.
create or replace function etl.adopt_batches()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table record;
  v_kind "char";
begin
  create temporary table headrace_batch (batch_id bigint, pipeline text, captured_at timestamptz) on commit drop;
  for v_table in select t.mirror, t.pipeline from etl.source_table t where to_regclass(format('mrr.%I', t.mirror)) is not null loop
    execute format('insert into pg_temp.headrace_batch (batch_id, pipeline) select distinct m._hr_batch, $1 from mrr.%I m', v_table.mirror)
      using v_table.pipeline;
    if stg.is_copy(v_table.mirror) then
      v_kind := (select c.relkind from pg_class c where c.oid = to_regclass(format('stg.%I', v_table.mirror || '_changes')));
      if v_kind = 'v' then
        perform stg.end_copy(v_table.mirror, true);
      elsif v_kind is null then
        execute format('alter table stg.%I rename to %I', v_table.mirror || '_written', v_table.mirror || '_changes');
      else
        execute format('drop table stg.%I', v_table.mirror || '_written');
      end if;
    end if;
    execute format('delete from stg.%I c where not exists (select from etl.batch b where b.batch_id = c._hr_batch and b.published_at is null)',
      v_table.mirror || '_changes');
  end loop;
  for v_table in
    select distinct s.pipeline, to_regclass(s.target) as target, x.batch_column, x.moment_column
    from etl.step s
    cross join (values ('batch_id', 'captured_at'), ('batch_from', 'valid_from')) x (batch_column, moment_column)
    where (select count(*) from pg_attribute a where a.attrelid = to_regclass(s.target) and a.attname in (x.batch_column, x.moment_column)) = 2
  loop
    execute format('insert into pg_temp.headrace_batch select t.%I, $1, min(t.%I) from %s t where t.%1$I > 0 group by 1',
      v_table.batch_column, v_table.moment_column, v_table.target) using v_table.pipeline;
  end loop;
  insert into etl.batch (batch_id, pipeline, captured_at, published_at)
  overriding system value
  select b.batch_id, min(b.pipeline),
         coalesce(min(b.captured_at), (select max(x.captured_at) from etl.batch x), clock_timestamp()), clock_timestamp()
  from pg_temp.headrace_batch b
  where not exists (select from etl.batch x where x.batch_id = b.batch_id)
  group by 1;
  drop table pg_temp.headrace_batch;
end
$$;

comment on function etl.adopt_batches() is
  'Makes etl.batch know all batches that rows refer to, and deletes change sets that no batch waits with. Internal, for etl.after_restore().';
revoke all on function etl.adopt_batches() from public;
