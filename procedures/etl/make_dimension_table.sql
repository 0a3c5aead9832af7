-- requires: etl.stage_columns
-- Contract: makes the table of an SCD2 dimension, with the types of its stage function, and with constraints that hold what
-- dwh.load_dimension() promises: periods of a member do not overlap, and one version is current.
create or replace function etl.make_dimension_table(p_dimension text, p_stage text, p_surrogate_key text, p_business_key text, p_attributes text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name constant text[] := etl.parse_table(p_dimension);
begin
  execute format(
    'create table %I.%I (%I bigint generated always as identity primary key, source text not null, %s,'
    ' valid_from timestamptz not null, valid_to timestamptz not null default ''infinity'', is_current boolean not null default true,'
    ' is_inferred boolean not null default false, batch_from bigint not null, batch_to bigint not null default 9223372036854775807,'
    ' check (valid_from < valid_to), check (batch_from < batch_to), check (is_current = (valid_to = ''infinity'')),'
    ' exclude using gist (%I with =, source with =, tstzrange(valid_from, valid_to) with &&))',
    v_name[1], v_name[2], p_surrogate_key, array_to_string(array(
      select format('%I %s%s', c.column_name, c.type_name, case when c.column_name = p_business_key then ' not null' else '' end)
      from etl.stage_columns(p_stage) c
      where c.column_name = p_business_key or c.column_name = any (p_attributes)
      order by c.column_name <> p_business_key, array_position(p_attributes, c.column_name)), ', '), p_business_key);
  execute format('create unique index on %I.%I (source, %I) where is_current', v_name[1], v_name[2], p_business_key);
  execute format('create unique index on %I.%I (source, %I, batch_from)', v_name[1], v_name[2], p_business_key);
  execute format('comment on table %I.%I is %L', v_name[1], v_name[2], 'Dimension, SCD2: one row per version, periods never overlap. Made by etl.add_dimension().');
end
$$;

comment on function etl.make_dimension_table(text, text, text, text, text[]) is
  'Makes the table of an SCD2 dimension after its stage function. Internal.';
revoke all on function etl.make_dimension_table(text, text, text, text, text[]) from public;
