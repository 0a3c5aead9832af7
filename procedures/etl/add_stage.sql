-- requires: etl.check_stage
-- Contract: registers which mirrors' change sets a stage function reads; idempotent. The function may come later, since it
-- needs the change sets; if it is there, it must have the columns that every stage function has.
create or replace procedure etl.add_stage(stage text, variadic mirrors text[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if cardinality(parse_ident(add_stage.stage)) <> 2 then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('stage function %s is named without its schema', add_stage.stage),
      hint = 'Example: call etl.add_stage(''stg.order'', ''orders'');';
  end if;
  perform etl.check_stage(add_stage.stage, p_may_miss => true);
  insert into etl.stage (stage, mirror) select add_stage.stage, m.mirror from unnest(add_stage.mirrors) m (mirror) on conflict do nothing;
end
$$;

comment on procedure etl.add_stage(text, text[]) is
  'Registers that stage function stage(p_batch bigint) reads the change sets of these mirrors. Raises 22023, 42703. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_stage(text, text[]) from public;
