-- requires: etl.stage_columns
-- Contract: makes, or makes anew, a stage function from expressions over the columns of a mirror's change set, and registers it: what every
-- stage function has is added. Types are those of the expressions. It stays a plain SQL function, which the planner inlines.
create or replace procedure etl.create_stage(stage text, mirror text, columns json, reason text default null, source text default null)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  -- the expressions are an administrator's, registered to be run: @plpgsql_check_options: security_warnings = off
  v_stage constant text := create_stage.stage;
  v_mirror constant text := create_stage.mirror;
  v_name constant text[] := etl.parse_table(v_stage);
  v_changes constant text := format('stg.%I', v_mirror || '_changes');
  v_source constant text := coalesce(create_stage.source, (select t.source from etl.source_table t where t.mirror = v_mirror));
  v_expressions constant text := (select string_agg(format('(%s) as %I', c.value, c.key), ', ' order by c.ordinality) from json_each_text(create_stage.columns) with ordinality c);
  v_reason constant text := coalesce(create_stage.reason, 'null::text');
  v_types text;
begin
  if v_source is null or v_expressions is null then
    raise exception using
      errcode = 'undefined_object',
      message = case when v_source is null then format('there is no mirror %s', v_mirror) else format('stage %s has no columns', v_stage) end,
      hint = 'Register the table first: call etl.add_table(…). Columns are {"name": "expression"}: {"store_id": "c.id::bigint", "name": "nullif(btrim(c.name), '''')"}.';
  elsif exists (select from etl.stage_columns(v_stage)) and not exists (select from etl.stage g where g.stage = v_stage and g.is_made) then
    raise exception using
      errcode = 'duplicate_function',
      message = format('there is a stage function %s that etl.create_stage did not make', v_stage),
      hint = 'Choose another name, or change that function itself.';
  end if;
  begin
    execute format('create temporary view headrace_stage as select %s, (%s) as reason from %s c', v_expressions, v_reason, v_changes);
  exception when others then
    raise exception using
      errcode = sqlstate,
      message = format('stage %s cannot be made: %s', v_stage, sqlerrm),
      hint = format('Expressions name the columns of the mirror as c.…: %s.', (
        select string_agg(format('c.%I', x.column_name), ', ' order by x.position) from etl.source_column x join etl.source_table t on t.source_table_id = x.source_table_id
        where t.mirror = v_mirror and x.mask is distinct from 'drop'));
  end;
  if exists (select from pg_attribute a where a.attrelid = to_regclass('pg_temp.headrace_stage') and a.attname = 'reason' and a.atttypid = 'boolean'::regtype) then
    raise exception using
      errcode = 'datatype_mismatch',
      message = format('the reason of stage %s is true or false: %s', v_stage, v_reason),
      detail = 'Any reason but null makes a row unfit, and false is not null.',
      hint = 'Say why a row is unfit: case when … then ''…'' end.';
  end if;
  select string_agg(format('%I %s', a.attname, case when a.attname = 'reason' then 'text' else format_type(a.atttypid, null) end), ', ' order by a.attnum) into v_types
  from pg_attribute a where a.attrelid = to_regclass('pg_temp.headrace_stage') and a.attnum > 0;
  drop view pg_temp.headrace_stage;

  if to_regprocedure(format('%I.%I(bigint)', v_name[1], v_name[2])) is not null then
    execute format('drop function %I.%I(bigint)', v_name[1], v_name[2]);
  end if;
  execute format('create function %I.%I(p_batch bigint) returns table (change_seq bigint, op "char", origin bigint, source text, %s) language sql stable as %L',
    v_name[1], v_name[2], v_types, format(E'\n  select c._hr_seq, c._hr_op, coalesce(c._hr_origin, c._hr_batch), %L::text, %s, case when c._hr_op in (''I'', ''U'') then (%s)::text end\n  from %s c\n  where c._hr_batch = p_batch\n',
                                           v_source, v_expressions, v_reason, v_changes));
  execute format('comment on function %I.%I(bigint) is %L', v_name[1], v_name[2], format('Cleaned and judged changes of %s in batch p_batch; made by etl.create_stage().', v_mirror));
  execute format('revoke all on function %I.%I(bigint) from public', v_name[1], v_name[2]);
  delete from etl.stage g where g.stage = v_stage and g.mirror <> v_mirror;
  insert into etl.stage (stage, mirror, is_made) values (v_stage, v_mirror, true) on conflict do nothing;
end
$$;

comment on procedure etl.create_stage(text, text, json, text, text) is
  'Makes and registers a stage function. stage: its name, stg.name; mirror: whose change set it reads; columns: {"name": "SQL expression over c.column"}; reason: SQL expression that says why a row is unfit, null for fit; source: what its rows name as their source, by default the mirror''s. Raises 42704, 42723, 42804, 22023, or the expression''s own error. For the administrator (member of headrace_owner).';
revoke all on procedure etl.create_stage(text, text, json, text, text) from public;
