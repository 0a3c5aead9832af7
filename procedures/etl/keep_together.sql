-- Contract: has rows that are added to a table without a key, or to a partition, of more than p_least rows go to its end, where
-- they share pages, as they do in its indexes (etl.placed_hash). Else, once VACUUM has been there, each goes into the gap that
-- some deleted row left, on a page of its own, which goes to WAL whole. A fillfactor does that for the pages that were filled before
-- it, to the end, of which there are most by then: they take rows again only when a tenth is empty. Those of later rows keep
-- that tenth free from the beginning, so a gap in them is filled as soon as before.
-- A fillfactor that somebody chose is left, and so is a table that belongs to somebody else. Where VACUUM is at the table now,
-- nothing waits for it: the next batch tries again.
create or replace function etl.keep_together(p_table regclass, p_least bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_part regclass;
begin
  for v_part in
    select c.oid::regclass
    from pg_class c
    where c.relkind = 'r' and (c.oid = p_table or c.oid in (select t.relid from pg_partition_tree(p_table) t))
      and c.reltuples > p_least and pg_has_role(c.relowner, 'usage')
      and not exists (select from unnest(c.reloptions) o (setting) where o.setting like 'fillfactor=%')
  loop
    begin
      execute format('lock table %s in share update exclusive mode nowait', v_part);
      execute format('alter table %s set (fillfactor = 90)', v_part);
    exception when lock_not_available then
      null;
    end;
  end loop;
end
$$;

comment on function etl.keep_together(regclass, bigint) is
  'Has rows that are added to a table, or its partitions, of more than p_least rows go to the end instead of into gaps that deleted ones left. Internal.';
revoke all on function etl.keep_together(regclass, bigint) from public;
