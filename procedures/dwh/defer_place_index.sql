-- Contract: before a first load drops the index by which equal sales are found (dwh.make_place_index), since no reader needs it and no
-- publish before the next one: it is made in one go after the publish (mrr.finish_copies), which readers get that much
-- earlier. It stays where there are facts, on a cluster of Citus, and while anybody reads dwh.fact_sales.
create or replace function dwh.defer_place_index()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regclass('dwh.fact_sales_place_idx') is null or exists (select from dwh.fact_sales)
     or exists (select from pg_extension e where e.extname = 'citus') then
    return;
  end if;
  lock table dwh.fact_sales in access exclusive mode nowait;
  drop index dwh.fact_sales_place_idx;
exception when lock_not_available then
  null;
end
$$;

comment on function dwh.defer_place_index() is 'Drops the index by which equal sales are found, before a first load; it is made after the publish. Internal.';
revoke all on function dwh.defer_place_index() from public;
