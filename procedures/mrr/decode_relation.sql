-- requires: mrr.int_at
-- Contract: what a Relation message (R) of pgoutput says: the relation's number in the stream, schema, name, and its columns
-- in the order in which tuples carry them.
create or replace function mrr.decode_relation(
  p_message bytea, out relation bigint, out schema_name text, out table_name text, out column_names text[])
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_encoding constant name := getdatabaseencoding(); -- dblink has the source convert to it
  v_at integer := 5;
  v_end integer;
  v_strings text[];
  v_columns integer;
begin
  relation := mrr.int_at(p_message, 1, 4);
  column_names := '{}';
  for v_string in 1..2 loop
    v_end := v_at + position('\x00'::bytea in substr(p_message, v_at + 1)) - 1;
    v_strings := v_strings || convert_from(substr(p_message, v_at + 1, v_end - v_at), v_encoding);
    v_at := v_end + 1;
  end loop;
  schema_name := v_strings[1];
  table_name := v_strings[2];
  v_columns := mrr.int_at(p_message, v_at + 1, 2)::integer;
  v_at := v_at + 3;
  for v_column in 1..v_columns loop
    v_end := v_at + 1 + position('\x00'::bytea in substr(p_message, v_at + 2)) - 1;
    column_names := column_names || convert_from(substr(p_message, v_at + 2, v_end - v_at - 1), v_encoding);
    v_at := v_end + 9;
  end loop;
end
$$;

comment on function mrr.decode_relation(bytea) is
  'Relation number, schema, name and column names in a pgoutput Relation message. Internal.';
revoke all on function mrr.decode_relation(bytea) from public;
