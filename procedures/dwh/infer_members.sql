-- requires: dwh.add_inferred_members
-- Contract: adds an inferred member for every business key that the facts of a batch name and the dimension has never
-- seen, and returns how many. A deleted member is not inferred again: facts go on to refer to its last version. The keys are
-- found by a query of its own, because only so several processes share it.
create or replace function dwh.infer_members(p_dimension text, p_stage text, p_batch bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text := (select d.business_key from etl.dimension d where d.dimension = p_dimension);
begin
  execute format(
    'create temporary table headrace_unknown on commit drop as'
    ' select distinct s.source, s.%3$I as member from %1$s($1) s left join %2$s d on d.source = s.source and d.%3$I = s.%3$I'
    ' where s.op in (''I'', ''U'') and d.source is null', p_stage::regproc, p_dimension::regclass, v_key)
    using p_batch;
  return dwh.add_inferred_members(p_dimension, p_stage, p_batch);
end
$$;

comment on function dwh.infer_members(text, text, bigint) is
  'Adds inferred members to p_dimension for keys in the fact stage p_stage of batch p_batch that it has never seen; returns how many. Raises 23502 where a fit row names none. Internal.';
revoke all on function dwh.infer_members(text, text, bigint) from public;
