-- Contract: the columns that a stage function returns, with their types; no row where there is no such function.
create or replace function etl.stage_columns(p_stage text)
returns table (ordinal bigint, column_name text, type_name text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select a.ordinality, a.name, format_type(a.type, null)
  from pg_proc p
  cross join lateral unnest(p.proargnames, p.proallargtypes, p.proargmodes) with ordinality a (name, type, mode, ordinality)
  where p.oid = to_regprocedure(p_stage || '(bigint)') and a.mode = 't'
$$;

comment on function etl.stage_columns(text) is
  'Columns of stage function p_stage with their types; none where it is not there. Internal.';
revoke all on function etl.stage_columns(text) from public;
