-- Contract: takes a pipeline's lock until the end of the transaction, for changes that no run may overlap; does not wait.
-- Raises 42704 for an unknown pipeline, 55P03 while a run is at work.
create or replace function etl.lock_pipeline(p_pipeline text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pipeline_id constant integer := (select p.pipeline_id from etl.pipeline p where p.pipeline = p_pipeline);
begin
  if v_pipeline_id is null then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no pipeline %s', p_pipeline),
      hint = 'The registered ones: select * from etl.pipeline;';
  elsif not pg_try_advisory_xact_lock(etl.lock_class(), v_pipeline_id) then
    raise exception using
      errcode = 'lock_not_available',
      message = format('a run of pipeline %s is at work', p_pipeline),
      hint = format('Try again when it is done: select * from etl.progress; or stop new ones first: call etl.pause(%L);', p_pipeline);
  end if;
end
$$;

comment on function etl.lock_pipeline(text) is
  'Takes a pipeline''s lock for the transaction. Raises 42704, 55P03. Internal.';
revoke all on function etl.lock_pipeline(text) from public;
