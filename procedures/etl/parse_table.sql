-- Contract: schema and name of a table written as in SQL, such as public."Odd Name". Raises 22023 for anything else.
create or replace function etl.parse_table(p_table text)
returns text[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_identifier text[];
begin
  begin
    v_identifier := parse_ident(p_table);
  exception when invalid_parameter_value then
    v_identifier := null;
  end;
  if v_identifier is null or cardinality(v_identifier) <> 2 then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('%s is not a table''s name with its schema', coalesce(quote_literal(p_table), 'null')),
      hint = 'Write it as in SQL: public.orders, or public."Odd Name" where it needs quotes.';
  end if;
  return v_identifier;
end
$$;

comment on function etl.parse_table(text) is 'Schema and name of a table written as in SQL. Raises 22023. Internal.';
revoke all on function etl.parse_table(text) from public;
