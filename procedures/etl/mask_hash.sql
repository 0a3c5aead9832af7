-- Contract: HMAC-SHA-256 of a value with the warehouse's secret, in hexadecimal; null stays null. Equal values stay equal,
-- so a masked column can still be joined and counted; without the secret it cannot be reversed or guessed by trying values.
create or replace function etl.mask_hash(p_value text)
returns text
language sql
stable
strict
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select encode(etl_ext.hmac(convert_to(p_value, 'UTF8'), s.value, 'sha256'), 'hex')
  from etl.secret s
  where s.secret = 'mask'
$$;

comment on function etl.mask_hash(text) is
  'Keyed hash of a value of a column that was registered with hash_columns. Internal: only headrace_owner may call it, since a caller could try values.';
revoke all on function etl.mask_hash(text) from public;
