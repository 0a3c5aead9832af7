-- requires: etl.warehouse_id
-- Contract: the name of a pipeline's slot and publication at every source. It carries the warehouse's id, so a clone or
-- another warehouse never touches them, and follows from the pipeline's name alone, so that it is known, and stays, while a
-- registration that needs the publication is refused.
create or replace function etl.slot_name(p_pipeline text)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $$
  select format('headrace_%s_%s', etl.warehouse_id(),
                case when p_pipeline ~ '^[a-z0-9_]{1,30}$' then p_pipeline else substr(md5(p_pipeline), 1, 12) end)
  where p_pipeline is not null
$$;

comment on function etl.slot_name(text) is 'Name of a pipeline''s slot and publication at its sources. Internal.';
revoke all on function etl.slot_name(text) from public;
