-- Contract: makes the row hashes of a mirror without a key right again, after its columns changed or rows were changed by hand.
-- The text forms are pinned here as in mrr.capture, because the hash is one of the text form.
create or replace function mrr.rehash(p_table etl.source_table)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = iso
set intervalstyle = postgres
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = hex
set xmlbinary = base64
as $$
begin
  if (p_table).key_columns is null then
    execute format('update mrr.%1$I m set _hr_hash = hashtextextended(%2$s, 0) where _hr_hash <> hashtextextended(%2$s, 0)',
      (p_table).mirror, etl.row_image((p_table).source_table_id, 'm'));
  end if;
end
$$;

comment on function mrr.rehash(etl.source_table) is
  'Makes the row hashes of a mirror without a key right again. Internal.';
revoke all on function mrr.rehash(etl.source_table) from public;
