-- requires: etl.stage_columns
-- Contract: adds to a table that etl.add_dimension() or etl.add_fact() made the columns of its stage function that it lacks, out of those
-- named, and says that rows which are there have nothing in them. A column of another type stays: the caller refuses it.
create or replace function etl.adopt_columns(p_target text, p_stage text, p_columns text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  -- names and types as the catalogue writes them: @plpgsql_check_options: security_warnings = off
  v_added text;
begin
  select string_agg(format('add column %I %s', c.column_name, c.type_name), ', ' order by c.ordinal) into v_added
  from etl.stage_columns(p_stage) c
  where c.column_name = any (p_columns)
    and not exists (select from pg_attribute a where a.attrelid = p_target::regclass and a.attname = c.column_name and a.attnum > 0 and not a.attisdropped);
  if v_added is not null then
    execute format('alter table %s %s', p_target::regclass, v_added);
    raise notice using
      message = format('%s: %s, empty in the rows that are there', p_target, v_added),
      hint = format('To fill it: call etl.rebuild(%L);', p_target);
  end if;
end
$$;

comment on function etl.adopt_columns(text, text, text[]) is
  'Adds columns of a stage function that a dimension or fact lacks to its table. Internal.';
revoke all on function etl.adopt_columns(text, text, text[]) from public;
