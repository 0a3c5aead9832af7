-- Contract: whether the facts of a pipeline lack the index by which equal sales are found (dwh.defer_place_index). A table of
-- this name that is not the sample's has no such index.
create or replace function dwh.is_place_index_deferred(p_pipeline text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select to_regclass('dwh.fact_sales_place_idx') is null
         and exists (select from etl.step s where s.pipeline = p_pipeline and s.target = 'dwh.fact_sales')
         and exists (select from pg_attribute a where a.attrelid = to_regclass('dwh.fact_sales') and a.attname = 'sale_key')
$$;

comment on function dwh.is_place_index_deferred(text) is
  'Whether the facts of a pipeline lack the index by which equal sales are found. Internal.';
revoke all on function dwh.is_place_index_deferred(text) from public;
