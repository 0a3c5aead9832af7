-- requires: etl.column_list
-- Contract: the SQL expression for the text form of a row of this table under the given alias: what rows are compared by.
-- The text form tells 1.0 from 1.00 and an empty string from NULL, and exists for types without an equality operator.
-- Invariant: evaluated only in routines that pin DateStyle, TimeZone and their kin, so equal rows have equal images.
create or replace function etl.row_image(p_source_table_id integer, p_alias text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format('row(%s)::text collate "C"', etl.column_list(p_source_table_id, quote_ident(p_alias) || '.%1$I'))
$$;

comment on function etl.row_image(integer, text) is
  'SQL expression for the text form of a table''s row under p_alias. Internal.';
revoke all on function etl.row_image(integer, text) from public;
