-- Contract: row counts by name; what is left out is 0.
create or replace function etl.counts(
  p_read bigint default 0, p_inserted bigint default 0, p_updated bigint default 0, p_deleted bigint default 0,
  p_quarantined bigint default 0)
returns etl.row_counts
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select (p_read, p_inserted, p_updated, p_deleted, p_quarantined)::etl.row_counts
$$;

comment on function etl.counts(bigint, bigint, bigint, bigint, bigint) is 'Row counts; what is left out is 0. Internal.';
revoke all on function etl.counts(bigint, bigint, bigint, bigint, bigint) from public;
