-- Contract: the attributes of a dimension, each written by a pattern of format() with %1$I, joined by p_separator.
create or replace function dwh.attribute_list(p_dimension etl.dimension, p_pattern text, p_separator text default ', ')
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format(p_pattern, a.attribute), p_separator order by a.position)
  from unnest((p_dimension).attributes) with ordinality a (attribute, position)
$$;

comment on function dwh.attribute_list(etl.dimension, text, text) is
  'Attributes of a dimension, each written by a format() pattern (%1$I name) and joined by p_separator. Internal.';
revoke all on function dwh.attribute_list(etl.dimension, text, text) from public;
