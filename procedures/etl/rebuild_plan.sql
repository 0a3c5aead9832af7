-- Contract: what etl.rebuild(p_relation) works on: the pipeline, and the mirrors whose rows are written anew. A mirror is
-- rebuilt from its source, anything else from the mirrors that its step reads. Raises 42704 for what no step loads.
create or replace function etl.rebuild_plan(p_relation text, out pipeline text, out mirrors text[], out is_mirror boolean)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  select t.pipeline, array[t.mirror], true into pipeline, mirrors, is_mirror
  from etl.source_table t
  where to_regclass(p_relation) = to_regclass(format('mrr.%I', t.mirror));
  if not found then
    select s.pipeline, array_agg(distinct g.mirror), false into pipeline, mirrors, is_mirror
    from etl.step s
    join etl.stage g on g.stage = any (s.stages)
    join etl.source_table t on t.mirror = g.mirror
    where to_regclass(s.target) = to_regclass(p_relation)
    group by s.pipeline;
  end if;
  if not found then
    raise exception using
      errcode = 'undefined_object',
      message = format('%s is neither a mirror nor loaded by a step from one', p_relation),
      hint = format('These can be rebuilt: %s.',
        (select string_agg(x.name, ', ' order by x.name)
         from (select format('mrr.%I', t.mirror) from etl.source_table t union select s.target from etl.step s where s.target is not null) x (name)));
  end if;
end
$$;

comment on function etl.rebuild_plan(text) is
  'Pipeline and mirrors that a rebuild of p_relation works on. Raises 42704. For headrace_runner, through etl.rebuild().';
revoke all on function etl.rebuild_plan(text) from public;
grant execute on function etl.rebuild_plan(text) to headrace_runner;
