-- Contract: p_wanted as the option list of an ALTER SERVER, ALTER USER MAPPING or CREATE statement, given the options that are
-- there; null where nothing is wanted.
create or replace function etl.option_list(p_wanted jsonb, p_present text[] default null)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format(case when p_present is null then '%I %L'
                                when o.key in (select x.option_name from pg_options_to_table(p_present) x) then 'set %I %L'
                                else 'add %I %L' end, o.key, o.value), ', ')
  from jsonb_each_text(p_wanted) o
  where o.value is not null
$$;

comment on function etl.option_list(jsonb, text[]) is
  'Options as CREATE (p_present null) or ALTER statements of foreign objects write them. Internal.';
revoke all on function etl.option_list(jsonb, text[]) from public;
