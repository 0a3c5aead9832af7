-- Contract: whether an empty mirror can be made anew without a loss: nobody has given it anything beside what Headrace makes, save
-- privileges on it as a whole, and nothing is bound to it, such as a view, an index or a publication. Of a column's options only n_distinct is
-- somebody's; servers have been seen that give each column one of their own.
create or replace function mrr.is_replaceable(p_mirror regclass)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select c.reloptions is null and c.reltablespace = 0 and c.relpersistence = 'p' and c.relreplident = 'd' and not c.relrowsecurity
         and c.relam = (select m.oid from pg_am m where m.amname = current_setting('default_table_access_method'))
         and not exists (
           select from pg_attribute a
           join pg_type y on y.oid = a.atttypid
           left join pg_description n on n.classoid = 'pg_class'::regclass and n.objoid = a.attrelid and n.objsubid = a.attnum
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             and (a.attacl is not null or array_to_string(a.attoptions, ' ') like '%n\_distinct%' or coalesce(a.attstattarget, -1) <> -1
                  or a.attcompression <> '' or a.attstorage <> y.typstorage or a.attname not like '\_hr\_%' and (a.attnotnull or n.description is not null)))
         and not exists (select from pg_inherits i where i.inhrelid = c.oid)
         and not exists (select from pg_depend d
                         left join pg_constraint n on d.classid = 'pg_constraint'::regclass and n.oid = d.objid and n.contype = 'n'
                         where d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.deptype <> 'i' and n.oid is null)
  from pg_class c
  where c.oid = p_mirror
$$;

comment on function mrr.is_replaceable(regclass) is
  'Whether an empty mirror has nothing of others, so that it can be made anew. Internal.';
revoke all on function mrr.is_replaceable(regclass) from public;
