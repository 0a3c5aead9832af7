-- requires: etl.fact_columns, dwh.recount_facts
-- Contract: registers a fact table for dwh.load_fact(), or changes it, with the steps that load it; makes the table if it is not there, or
-- the columns that one it made lacks, and else checks that it has the columns that the routine fills, of the stage's types: equal rows are found by their text form.
-- measures: what dwh.metric_fact sums by day; what the table has already is counted here.
create or replace procedure etl.add_fact(fact text, stage text, dimensions text[] default '{}', key text[] default null, measures text[] default '{}')
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_fact etl.fact := (add_fact.fact, add_fact.stage, coalesce(add_fact.dimensions, '{}'), nullif(add_fact.key, '{}'), false,
                       coalesce(add_fact.measures, '{}'));
  v_is_new constant boolean := not exists (select from etl.fact f where f.fact = add_fact.fact);
  v_wrong text;
begin
  select string_agg(x.name, ', ' order by x.name) into v_wrong
  from unnest(v_fact.dimensions) x (name) where not exists (select from etl.dimension d where d.dimension = x.name);
  if v_wrong is not null then
    raise exception using
      errcode = 'undefined_object',
      message = format('dimensions of fact %s that are not registered: %s', v_fact.fact, v_wrong),
      hint = 'Register them first: call etl.add_dimension(…). The registered ones: select dimension from etl.dimension;';
  end if;
  perform etl.check_stage(v_fact.stage, coalesce(v_fact.key_columns, '{}')
    || array(select d.business_key from etl.dimension d where d.dimension = any (v_fact.dimensions)));
  select string_agg(m.name, ', ' order by m.name) into v_wrong
  from unnest(v_fact.measures) m (name)
  where not exists (select from etl.stage_columns(v_fact.stage) c
                    where c.column_name = m.name and m.name = any (etl.fact_columns(v_fact)) and c.type_name ~ '^(smallint|integer|bigint|numeric)');
  if v_wrong is not null then
    raise exception using
      errcode = 'datatype_mismatch',
      message = format('measures of fact %s that are no columns of %s with exact numbers: %s', v_fact.fact, v_fact.stage, v_wrong),
      hint = 'A measure is a smallint, integer, bigint or numeric. Cast it in the stage: call etl.create_stage(…);';
  end if;
  if to_regclass(v_fact.fact) is null then
    perform etl.make_fact_table(v_fact);
    v_fact.is_made := true;
  else
    if exists (select from etl.fact f where f.fact = v_fact.fact and f.is_made) then
      perform etl.adopt_columns(v_fact.fact, v_fact.stage, etl.fact_columns(v_fact));
    end if;
    select string_agg(n.name || ' ' || n.type, ', ' order by n.name) into v_wrong
    from (select c.column_name, c.type_name from etl.stage_columns(v_fact.stage) c where c.column_name = any (etl.fact_columns(v_fact))
          union all select d.surrogate_key, 'bigint' from etl.dimension d where d.dimension = any (v_fact.dimensions)
          union all values ('source', 'text'), ('captured_at', 'timestamp with time zone'), ('captured_on', 'date'), ('batch_id', 'bigint')
          union all select x.* from (values ('fact_key', 'bigint'), ('row_hash', 'bigint')) x (name, type) where v_fact.key_columns is null) n (name, type)
    where not exists (select from pg_attribute a
                      where a.attrelid = to_regclass(v_fact.fact) and a.attname = n.name and a.attnum > 0 and not a.attisdropped
                        and format_type(a.atttypid, null) = n.type);
    if v_wrong is not null then
      raise exception using
        errcode = 'undefined_column',
        message = format('fact table %s lacks columns: %s', v_fact.fact, v_wrong),
        detail = (select 'It has: ' || string_agg(format('%s %s', a.attname, format_type(a.atttypid, null)), ', ' order by a.attnum) || '.'
                  from pg_attribute a where a.attrelid = to_regclass(v_fact.fact) and a.attnum > 0 and not a.attisdropped),
        hint = 'Add them; or drop the table, and this call makes it.';
    end if;
  end if;
  insert into etl.fact (fact, stage, dimensions, key_columns, is_made, measures)
  values (v_fact.fact, v_fact.stage, v_fact.dimensions, v_fact.key_columns, v_fact.is_made, v_fact.measures)
  on conflict (fact) do update
  set stage = excluded.stage, dimensions = excluded.dimensions, key_columns = excluded.key_columns, measures = excluded.measures;
  perform dwh.recount_facts(v_fact);
  perform etl.add_steps(v_fact.fact, v_fact.stage, 'dwh.load_fact', v_fact.dimensions);
  if v_is_new then
    perform etl.tell_rebuild(v_fact.fact, v_fact.stage);
  end if;
end
$$;

comment on procedure etl.add_fact(text, text, text[], text[], text[]) is
  'Registers a fact table (schema.table) for dwh.load_fact(), with its steps, and makes it if it is missing, or the columns that one it made lacks. stage: its stage function; dimensions: registered dimensions it refers to, whose business keys the stage has; key: columns of the stage that tell one fact, by default none; measures: columns of it that the dashboard sums by day, by default it counts rows. Raises 42703, 42704, 42804, 42883. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_fact(text, text, text[], text[], text[]) from public;
