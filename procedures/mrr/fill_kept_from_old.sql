-- Contract: completes new rows of a table without a key whose large values were not sent: the old row of the same message,
-- which REPLICA IDENTITY FULL sends whole, has them.
create or replace function mrr.fill_kept_from_old()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update pg_temp.headrace_change c
  set new_values = (
        select array_agg(case when v.number = any (c.kept) then c.old_values[v.number] else v.value end order by v.number)
        from unnest(c.new_values) with ordinality v (value, number)),
      kept = null
  where c.kept is not null;
end
$$;

comment on function mrr.fill_kept_from_old() is
  'Completes rows in pg_temp.headrace_change from their old rows. Internal.';
revoke all on function mrr.fill_kept_from_old() from public;
