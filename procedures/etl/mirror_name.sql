-- Contract: a free name for a mirror: the table's own; on a clash with the schema before it; above 55 bytes (its change set's
-- name has eight more) or on another clash shortened, with a hash of the full name.
create or replace function etl.mirror_name(p_source text, p_schema text, p_name text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hash constant text := '_' || substr(md5(format('%I.%I.%I', p_source, p_schema, p_name)), 1, 8);
  v_short text := p_name;
  v_candidate text;
begin
  while octet_length(v_short) > 46 loop
    v_short := left(v_short, -1);
  end loop;
  foreach v_candidate in array array[p_name, p_schema || '_' || p_name, p_source || '_' || p_name] loop
    if octet_length(v_candidate) <= 55 and not exists (select from etl.source_table t where t.mirror = v_candidate) then
      return v_candidate;
    end if;
  end loop;
  return v_short || v_hash;
end
$$;

comment on function etl.mirror_name(text, text, text) is
  'A free name for the mirror of a source table, at most 55 bytes. Internal.';
revoke all on function etl.mirror_name(text, text, text) from public;
