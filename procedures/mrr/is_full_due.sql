-- Contract: whether a table captured by watermark is to be compared in full now: at its first copy, after a change of its
-- columns, and as often as full_every says, because a watermark shows no deleted row.
create or replace function mrr.is_full_due(p_table etl.source_table)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select (p_table).copied_at is null or (p_table).needs_resync
         or coalesce((p_table).full_at + (p_table).full_every <= clock_timestamp(), false)
$$;

comment on function mrr.is_full_due(etl.source_table) is 'Whether a watermark table is to be compared in full now. Internal.';
revoke all on function mrr.is_full_due(etl.source_table) from public;
