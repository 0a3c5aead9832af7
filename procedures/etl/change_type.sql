-- Contract: changes the type of a mirror's or change set's column by way of the text form; values that the new type does not
-- take become NULL, since the comparison that follows a changed type brings the source's own.
create or replace function etl.change_type(p_table text, p_column text, p_type text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  -- the casts refuse what is not the name of one table and of one type
  v_table constant regclass := p_table::regclass;
  v_type constant text := case when p_type::regtype is not null then p_type end;
begin
  execute format('alter table %1$s alter column %3$I type %2$s using %3$I::text::%2$s', v_table, v_type, p_column);
exception when data_exception or cannot_coerce or undefined_function then
  execute format('alter table %1$s alter column %3$I type %2$s using null', v_table, v_type, p_column);
end
$$;

comment on function etl.change_type(text, text, text) is
  'Changes a column''s type by way of the text form; what does not fit becomes NULL. Internal.';
revoke all on function etl.change_type(text, text, text) from public;
