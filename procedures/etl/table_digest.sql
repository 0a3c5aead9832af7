-- Contract: how many rows a table has and a digest of them that does not depend on their order: the sum of the hashes of their
-- text forms, which are pinned here, so that a restored table has the same digest and one that lost or changed a value another.
create or replace function etl.table_digest(p_table regclass, out rows bigint, out digest text)
language plpgsql
stable
strict
set search_path = pg_catalog, pg_temp
set datestyle = iso
set intervalstyle = postgres
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = hex
set xmlbinary = base64
as $$
begin
  execute format('select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text from only %s t', p_table) into rows, digest;
end
$$;

comment on function etl.table_digest(regclass) is
  'Number of rows of a table and a digest of them, whatever their order. For whoever may read the table: the administrator, or a role that makes backups.';
revoke all on function etl.table_digest(regclass) from public;
