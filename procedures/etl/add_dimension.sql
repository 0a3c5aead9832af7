-- Contract: registers an SCD2 dimension for dwh.load_dimension(), or changes it; checks that the table has the columns
-- that the routine relies on.
create or replace procedure etl.add_dimension(dimension text, stage text, surrogate_key text, business_key text, attributes text[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_missing text;
begin
  select string_agg(c.name, ', ') into v_missing
  from unnest(array['source', 'valid_from', 'valid_to', 'is_current', 'is_inferred', 'batch_from', 'batch_to',
                    add_dimension.surrogate_key, add_dimension.business_key] || add_dimension.attributes) c (name)
  where not exists (select from pg_attribute a
                    where a.attrelid = to_regclass(add_dimension.dimension) and a.attname = c.name and a.attnum > 0 and not a.attisdropped);
  if v_missing is not null or add_dimension.attributes = '{}' then
    raise exception using
      errcode = 'undefined_column',
      message = format('dimension %s lacks columns: %s', add_dimension.dimension, coalesce(v_missing, 'at least one attribute')),
      hint = 'Make the table in a revision, after the pattern of dwh.dim_customer.';
  end if;
  insert into etl.dimension (dimension, stage, surrogate_key, business_key, attributes)
  values (add_dimension.dimension, add_dimension.stage, add_dimension.surrogate_key, add_dimension.business_key, add_dimension.attributes)
  on conflict (dimension) do update
  set stage = excluded.stage, surrogate_key = excluded.surrogate_key, business_key = excluded.business_key, attributes = excluded.attributes;
end
$$;

comment on procedure etl.add_dimension(text, text, text, text, text[]) is
  'Registers a dimension table (schema.table) with its stage function, surrogate key, business key and attributes for dwh.load_dimension(). Raises 42703. For the administrator (member of headrace_owner).';
revoke all on procedure etl.add_dimension(text, text, text, text, text[]) from public;
