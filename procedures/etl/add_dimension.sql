-- requires: etl.check_stage
-- Contract: registers an SCD2 dimension for dwh.load_dimension(), or changes it, with the steps that load it; makes the table if it is not
-- there, or the columns that one it made lacks, and else checks that it has the columns that the routine relies on, as does the stage function.
create or replace procedure etl.add_dimension(dimension text, stage text, surrogate_key text, business_key text, attributes text[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_is_made constant boolean := to_regclass(add_dimension.dimension) is null and add_dimension.attributes <> '{}';
  v_is_new constant boolean := not exists (select from etl.dimension d where d.dimension = add_dimension.dimension);
  v_missing text;
begin
  perform etl.check_stage(add_dimension.stage, add_dimension.business_key || add_dimension.attributes, not v_is_made);
  if v_is_made then
    perform etl.make_dimension_table(add_dimension.dimension, add_dimension.stage, add_dimension.surrogate_key, add_dimension.business_key, add_dimension.attributes);
  elsif exists (select from etl.dimension d where d.dimension = add_dimension.dimension and d.is_made) then
    perform etl.adopt_columns(add_dimension.dimension, add_dimension.stage, add_dimension.attributes);
  end if;
  select string_agg(c.name, ', ') into v_missing
  from unnest(array['source', 'valid_from', 'valid_to', 'is_current', 'is_inferred', 'batch_from', 'batch_to',
                    add_dimension.surrogate_key, add_dimension.business_key] || add_dimension.attributes) c (name)
  where not exists (select from pg_attribute a
                    where a.attrelid = to_regclass(add_dimension.dimension) and a.attname = c.name and a.attnum > 0 and not a.attisdropped);
  if v_missing is not null or add_dimension.attributes = '{}' then
    raise exception using
      errcode = 'undefined_column',
      message = format('dimension %s lacks columns: %s', add_dimension.dimension, coalesce(v_missing, 'at least one attribute')),
      hint = 'Add them, after the pattern of dwh.dim_customer; or drop the table, and this call makes it.';
  end if;
  insert into etl.dimension (dimension, stage, surrogate_key, business_key, attributes, is_made)
  values (add_dimension.dimension, add_dimension.stage, add_dimension.surrogate_key, add_dimension.business_key, add_dimension.attributes, v_is_made)
  on conflict (dimension) do update
  set stage = excluded.stage, surrogate_key = excluded.surrogate_key, business_key = excluded.business_key, attributes = excluded.attributes;
  perform etl.add_steps(add_dimension.dimension, add_dimension.stage, 'dwh.load_dimension');
  if v_is_new then
    perform etl.tell_rebuild(add_dimension.dimension, add_dimension.stage);
  end if;
end
$$;

comment on procedure etl.add_dimension(text, text, text, text, text[]) is
  'Registers a dimension table (schema.table) with its stage function, surrogate key, business key and attributes for dwh.load_dimension(), with its steps, and makes it if it is missing, or the columns that one it made lacks. Raises 42703, 42883. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_dimension(text, text, text, text, text[]) from public;
