-- Contract: changes the type of a mirror's or change set's column by way of the text form; values that the new type does not
-- take become NULL, since the comparison that follows a changed type brings the source's own.
create or replace function etl.change_type(p_table text, p_column text, p_type text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('alter table %1$s alter column %2$I type %3$s using %2$I::text::%3$s', p_table, p_column, p_type);
exception when data_exception or cannot_coerce or undefined_function then
  execute format('alter table %1$s alter column %2$I type %3$s using null', p_table, p_column, p_type);
end
$$;

comment on function etl.change_type(text, text, text) is
  'Changes a column''s type by way of the text form; what does not fit becomes NULL. Internal.';
revoke all on function etl.change_type(text, text, text) from public;
