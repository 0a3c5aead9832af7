-- Contract: names, each written by a pattern of format() with %1$I, joined by p_separator.
create or replace function dwh.name_list(p_names text[], p_pattern text, p_separator text default ', ')
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format(p_pattern, n.name), p_separator order by n.position) from unnest(p_names) with ordinality n (name, position)
$$;

comment on function dwh.name_list(text[], text, text) is 'Names, each written by a format() pattern (%1$I) and joined by p_separator. Internal.';
revoke all on function dwh.name_list(text[], text, text) from public;
