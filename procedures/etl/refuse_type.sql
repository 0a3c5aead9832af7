-- Contract: refuses a column whose values no type here holds, and says what can be done; p_is_new: a column that came later, which is
-- left out with a warning instead, so that the table goes on.
create or replace function etl.refuse_type(p_table etl.source_table, p_column text, p_type text, p_is_new boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_message constant text := format('column %I of %I.%I of source %s has type %s, which cannot be held here', p_column,
                                    (p_table).source_schema, (p_table).source_name, (p_table).source, p_type);
begin
  if p_is_new then
    raise warning '%; it is left out', v_message;
    return;
  end if;
  raise exception using
    errcode = 'feature_not_supported',
    message = v_message,
    hint = format('Leave it out: drop_columns => ''{%1$I}''. Or name a type that takes it, such as text or bytea: columns => ''{%2$s: "bytea"}''. Or mirror a view there that casts it.',
                  p_column, to_json(p_column));
end
$$;

comment on function etl.refuse_type(etl.source_table, text, text, boolean) is
  'Raises 0A000 for a column of a type that cannot be held; p_is_new: warns. Internal.';
revoke all on function etl.refuse_type(etl.source_table, text, text, boolean) from public;
