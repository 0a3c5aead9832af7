-- Contract: forgets the steps that load a dimension or fact, and drops its table if a call made it (p_is_made). A table made
-- elsewhere stays. A view of the user's on it is not dropped with it, but named.
create or replace function etl.drop_target(p_target text, p_is_made boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step record;
  v_dependants text;
begin
  for v_step in select s.pipeline, s.step from etl.step s where s.target = p_target order by s.step_id loop
    call etl.remove_step(v_step.pipeline, v_step.step);
  end loop;
  if p_is_made and to_regclass(p_target) is not null then
    begin
      execute format('drop table %s', p_target::regclass);
    exception when dependent_objects_still_exist then
      get stacked diagnostics v_dependants = pg_exception_detail;
      raise exception using
        errcode = 'dependent_objects_still_exist',
        message = sqlerrm,
        detail = v_dependants,
        hint = 'Drop these first, or have them read something else; then call again.';
    end;
  end if;
end
$$;

comment on function etl.drop_target(text, boolean) is
  'Forgets the steps that load a table, and drops it if p_is_made. Internal.';
revoke all on function etl.drop_target(text, boolean) from public;
