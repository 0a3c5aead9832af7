-- requires: etl.check_stage
-- Contract: makes, or makes anew, a stage function of the rows of several, such as those of one table in several sources, and registers
-- it for all their mirrors. Its columns are those of the first; the others have them too, of the same types. Keys of
-- different sources do not meet: dimensions and facts tell rows by source and key.
-- Invariant: a source has one mirror in it, since a row T, such as a TRUNCATE is, takes all that the target has of its source.
create or replace procedure etl.unite_stages(stage text, variadic stages text[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  -- names are those of functions that are there: @plpgsql_check_options: security_warnings = off
  v_stage constant text := unite_stages.stage;
  v_name constant text[] := etl.parse_table(v_stage);
  v_parts constant text[] := unite_stages.stages;
  v_columns text;
  v_wrong text;
  v_same text;
begin
  perform etl.check_stage(p.name) from unnest(v_parts) p (name);
  select string_agg(format('%s: %s %s', p.name, c.column_name, c.type_name), ', ' order by p.number, c.ordinal) into v_wrong
  from unnest(v_parts) with ordinality p (name, number)
  cross join etl.stage_columns(v_parts[1]) c
  where not exists (select from etl.stage_columns(p.name) x where x.column_name = c.column_name and x.type_name = c.type_name);
  if v_wrong is not null or v_stage = any (v_parts) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('stage %s cannot be made of %s', v_stage, array_to_string(v_parts, ', ')),
      detail = coalesce('Missing: ' || v_wrong || '.', 'It would be made of itself.'),
      hint = 'Each has the columns of the first, of the same types: call etl.create_stage(…).';
  elsif exists (select from etl.stage_columns(v_stage)) and not exists (select from etl.stage g where g.stage = v_stage and g.is_made) then
    raise exception using
      errcode = 'duplicate_function',
      message = format('there is a stage function %s that etl.create_stage or etl.unite_stages did not make', v_stage),
      hint = 'Choose another name, or change that function itself.';
  end if;
  select string_agg(m.mirrors, '; ') into v_same
  from (select string_agg(distinct g.mirror, ', ') as mirrors
        from unnest(v_parts) p (name) join etl.stage g on g.stage = p.name join etl.source_table t on t.mirror = g.mirror
        group by t.source having count(*) > 1) m;
  if v_same is not null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('stage %s would have several mirrors of one source: %s', v_stage, v_same),
      detail = 'If one of them were emptied, what came from the others would be deleted with it.',
      hint = 'Unite the tables at the source, in a view, and register that.';
  end if;
  v_columns := (select string_agg(format('%I %s', c.column_name, c.type_name), ', ' order by c.ordinal) from etl.stage_columns(v_parts[1]) c);
  if to_regprocedure(format('%I.%I(bigint)', v_name[1], v_name[2])) is not null then
    execute format('drop function %I.%I(bigint)', v_name[1], v_name[2]);
  end if;
  execute format('create function %I.%I(p_batch bigint) returns table (%s) language sql stable as %L', v_name[1], v_name[2], v_columns, (
    select string_agg(format(E'\n  select %s from %s(p_batch) s', (
             select string_agg(format('s.%I', c.column_name), ', ' order by c.ordinal) from etl.stage_columns(v_parts[1]) c), p.name::regproc), E'\n  union all' order by p.number)
    from unnest(v_parts) with ordinality p (name, number)) || E'\n');
  execute format('comment on function %I.%I(bigint) is %L', v_name[1], v_name[2],
                 format('Cleaned and judged changes of %s in batch p_batch; made by etl.unite_stages().', array_to_string(v_parts, ', ')));
  execute format('revoke all on function %I.%I(bigint) from public', v_name[1], v_name[2]);
  delete from etl.stage g where g.stage = v_stage;
  insert into etl.stage (stage, mirror, is_made) select distinct v_stage, g.mirror, true from etl.stage g where g.stage = any (v_parts);
end
$$;

comment on procedure etl.unite_stages(text, text[]) is
  'Makes and registers a stage function of the rows of several. stage: its name, stg.name; stages: registered stages of the same columns, such as those of one table in several sources. Raises 22023, 42703, 42723, 42883. For the administrator (member of headrace_owner).';
revoke all on procedure etl.unite_stages(text, text[]) from public;
