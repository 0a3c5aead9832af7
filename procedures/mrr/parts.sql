-- Contract: what a batch of a pipeline reads, in order: a row with a table is captured by itself; a row with a source only
-- stands for all its log tables, read together from the slot. Log tables that have to be copied or compared come by
-- themselves; the slot is then read by the next batch, so that a copy and what follows it meet.
create or replace function mrr.parts(p_pipeline text, p_goes_on boolean)
returns table (source text, source_table etl.source_table)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with enabled as (
    select t.source, t as source_table, t.source_table_id as number,
           t.capture = 'log' as is_log, t.capture = 'log' and (t.copied_at is null or t.needs_resync) as is_copy
    from etl.source_table t
    where t.pipeline = p_pipeline and t.enabled
  )
  select p.source, p.source_table
  from (
    select e.source, e.source_table, e.number from enabled e where e.is_copy or not e.is_log and not p_goes_on
    union all
    select e.source, null, min(e.number) from enabled e where e.is_log group by e.source having not bool_or(e.is_copy)
  ) p
  order by p.number
$$;

comment on function mrr.parts(text, boolean) is
  'What a batch reads: tables by themselves, and sources whose slot is read. p_goes_on: only mode log. Internal.';
revoke all on function mrr.parts(text, boolean) from public;
