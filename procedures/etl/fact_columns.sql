-- requires: etl.stage_columns
-- Contract: the columns of a fact that come from its stage function under their own names, in its order.
create or replace function etl.fact_columns(p_fact etl.fact)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(c.column_name order by c.ordinal)
  from etl.stage_columns((p_fact).stage) c
  where c.column_name not in ('change_seq', 'op', 'origin', 'source', 'reason')
$$;

comment on function etl.fact_columns(etl.fact) is 'Columns of a fact that come from its stage function. Internal.';
revoke all on function etl.fact_columns(etl.fact) from public;
