-- Contract: whether the facts of a pipeline lack the index by which equal sales are found (dwh.defer_place_index).
create or replace function dwh.is_place_index_deferred(p_pipeline text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select to_regclass('dwh.fact_sales_place_idx') is null and to_regclass('dwh.fact_sales') is not null
         and exists (select from etl.step s where s.pipeline = p_pipeline and s.target = 'dwh.fact_sales')
$$;

comment on function dwh.is_place_index_deferred(text) is
  'Whether the facts of a pipeline lack the index by which equal sales are found. Internal.';
revoke all on function dwh.is_place_index_deferred(text) from public;
