-- requires: etl.placed_hash
-- Contract: makes the row hashes of a mirror without a key right again, after its columns changed or rows were changed by hand.
-- The text forms are pinned here as in mrr.capture, because the hash is one of the text form, which
-- depends on settings and so is computed in a query of its own: Citus refuses such functions in an update.
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
    execute format(
      'with fresh as (select m._hr_id, m._hr_hash, etl.placed_hash(m._hr_id, hashtextextended(%2$s, 0)) as hash from mrr.%1$I m)'
      ' update mrr.%1$I m set _hr_hash = f.hash from fresh f where m._hr_id = f._hr_id and m._hr_hash = f._hr_hash and f._hr_hash <> f.hash',
      (p_table).mirror, etl.row_image((p_table).source_table_id, 'm'));
  end if;
end
$$;

comment on function mrr.rehash(etl.source_table) is
  'Makes the row hashes of a mirror without a key right again. Internal.';
revoke all on function mrr.rehash(etl.source_table) from public;
