-- requires: etl.warehouse_id
-- Contract: the name of a pipeline's slot and publication at every source. It carries the warehouse's id, so a clone or
-- another warehouse never touches them.
create or replace function etl.slot_name(p_pipeline text)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $$
  select format('headrace_%s_%s', etl.warehouse_id(), p.pipeline_id) from etl.pipeline p where p.pipeline = p_pipeline
$$;

comment on function etl.slot_name(text) is 'Name of a pipeline''s slot and publication at its sources. Internal.';
revoke all on function etl.slot_name(text) from public;
