-- requires: dwh.add_inferred_members
-- Contract: adds an inferred member for every business key that the facts of a batch name and the dimension has never
-- seen, and returns how many (dwh.add_inferred_members).
create or replace function dwh.infer_members(p_dimension text, p_stage text, p_batch bigint)
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$
  select dwh.add_inferred_members(p_dimension, p_stage, p_batch)
$$;

comment on function dwh.infer_members(text, text, bigint) is
  'Adds inferred members to p_dimension for keys in the fact stage p_stage of batch p_batch that it has never seen; returns how many. Raises 23502 where a fit row names none. Internal.';
revoke all on function dwh.infer_members(text, text, bigint) from public;
