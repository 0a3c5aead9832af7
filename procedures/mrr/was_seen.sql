-- Contract: whether a snapshot of the source already saw the transaction with a 32-bit xid, which is not far from it. A
-- snapshot of null has seen nothing.
create or replace function mrr.was_seen(p_xid bigint, p_snapshot text)
returns boolean
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(pg_visible_in_snapshot((
    select case when x.full_xid - s.xmax > 2147483648 then x.full_xid - 4294967296
                when s.xmax - x.full_xid > 2147483648 then x.full_xid + 4294967296
                else x.full_xid end
    from (select pg_snapshot_xmax(p_snapshot::pg_snapshot)::text::bigint as xmax) s
    cross join lateral (select (s.xmax / 4294967296) * 4294967296 + p_xid as full_xid) x)::text::xid8, p_snapshot::pg_snapshot), false)
$$;

comment on function mrr.was_seen(bigint, text) is
  'Whether snapshot p_snapshot of a source saw the transaction p_xid (32 bits) as committed. Internal.';
revoke all on function mrr.was_seen(bigint, text) from public;
