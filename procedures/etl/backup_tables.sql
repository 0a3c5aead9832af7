-- Contract: the tables whose rows a backup of layers holds, with the layer each belongs to: mrr, stg, dwh, etl, and base for
-- all else in the database that is neither the system's, an extension's, nor pg_cron's. Foreign tables hold no rows of ours.
create or replace function etl.backup_tables(p_layers text[])
returns table (layer text, relation regclass)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select x.layer, c.oid::regclass
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  cross join lateral (select case when n.nspname in ('mrr', 'stg', 'dwh', 'etl') then n.nspname else 'base' end) x (layer)
  where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'cron')
    and x.layer = any (p_layers)
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  order by 1, n.nspname, c.relname
$$;

comment on function etl.backup_tables(text[]) is
  'Tables that a backup of p_layers (mrr, stg, dwh, etl, base) holds, and the layer of each. For the administrator, or a role that makes backups.';
revoke all on function etl.backup_tables(text[]) from public;
