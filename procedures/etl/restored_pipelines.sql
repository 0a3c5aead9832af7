-- Contract: the pipelines whose tables have to be brought level after p_relations were restored (null: everything): a mirror or
-- change set concerns its own pipeline; facts refer to dimensions of other pipelines, so dwh concerns all that have steps;
-- anything else of the layers concerns all.
create or replace function etl.restored_pipelines(p_relations text[])
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(p.pipeline order by p.pipeline), '{}')
  from etl.pipeline p
  where p_relations is null
     or exists (
       select from unnest(p_relations) r (relation)
       left join etl.source_table t on r.relation in (format('mrr.%I', t.mirror), format('stg.%I', t.mirror || '_changes'))
       where case when t.pipeline is not null then t.pipeline = p.pipeline
                  when r.relation like 'dwh.%' then exists (select from etl.step s where s.pipeline = p.pipeline)
                  else r.relation ~ '^(etl|stg|mrr)\.' end)
$$;

comment on function etl.restored_pipelines(text[]) is
  'Pipelines that are concerned when p_relations are restored. Internal.';
revoke all on function etl.restored_pipelines(text[]) from public;
