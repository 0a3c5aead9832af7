-- Contract: says that a dimension or fact was registered after the mirrors of its stage were loaded, as pg_cron does within the minute: it
-- gets what changes from now on, and the rest by etl.rebuild().
create or replace function etl.tell_rebuild(p_target text, p_stage text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_loaded constant text := (
    select string_agg(format('mrr.%I', t.mirror), ', ' order by t.mirror)
    from etl.stage g join etl.source_table t on t.mirror = g.mirror
    where g.stage = p_stage and t.copied_at is not null);
begin
  if v_loaded is not null then
    raise notice using
      message = format('%s has nothing yet of what %s holds: it was loaded before', p_target, v_loaded),
      hint = format('To fill it: call etl.rebuild(%L);', p_target);
  end if;
end
$$;

comment on function etl.tell_rebuild(text, text) is
  'Says in a notice that p_target was registered after its mirrors were loaded. Internal.';
revoke all on function etl.tell_rebuild(text, text) from public;
