-- requires: etl.stage_columns
-- Contract: raises, naming what is missing, unless a stage function is there and has the columns that every stage function has, of
-- their types, and those in p_needed. p_may_miss: a function that is not there yet is no error.
create or replace function etl.check_stage(p_stage text, p_needed text[] default '{}', p_may_miss boolean default false)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missing text;
begin
  if not exists (select from etl.stage_columns(p_stage)) then
    if p_may_miss then
      return;
    end if;
    raise exception using
      errcode = 'undefined_function',
      message = format('there is no stage function %s(bigint) that returns a table', p_stage),
      hint = format('Make it: call etl.create_stage(%L, mirror, columns); or write it after the pattern of stg.customer.', p_stage);
  end if;
  select string_agg(concat_ws(' ', n.name, '(' || n.type || ')'), ', ' order by n.number) into v_missing
  from (values (1, 'change_seq', 'bigint'), (2, 'op', '"char"'), (3, 'origin', 'bigint'), (4, 'source', 'text'), (5, 'reason', 'text')
        union all select 5 + x.number, x.name, null from unnest(p_needed) with ordinality x (name, number)) n (number, name, type)
  where not exists (select from etl.stage_columns(p_stage) c where c.column_name = n.name and c.type_name = coalesce(n.type, c.type_name));
  if v_missing is not null then
    raise exception using
      errcode = 'undefined_column',
      message = format('stage function %s does not return: %s', p_stage, v_missing),
      detail = format('It returns: %s.', (select string_agg(format('%s (%s)', c.column_name, c.type_name), ', ' order by c.ordinal) from etl.stage_columns(p_stage) c)),
      hint = 'Every stage function returns change_seq, op, origin, source and reason, and what is loaded from it under the names of the target.';
  end if;
end
$$;

comment on function etl.check_stage(text, text[], boolean) is
  'Raises 42883 where a stage function is missing, 42703 where it lacks columns. Internal.';
revoke all on function etl.check_stage(text, text[], boolean) from public;
