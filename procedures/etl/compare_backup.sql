-- requires: etl.table_digest
-- Contract: what of a restored warehouse is not as the manifest of its backup says; no row means that every table is there with
-- the same rows. Tables that the manifest does not name are not looked at.
create or replace function etl.compare_backup(p_manifest jsonb)
returns table (relation text, finding text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select m.relation,
         case when m.now is null then 'is missing'
              when g.rows <> (m.expected ->> 'rows')::bigint then format('has %s rows, the manifest says %s', g.rows, m.expected ->> 'rows')
              else 'has as many rows, but not the same' end
  from (select x.relation, x.expected, to_regclass(x.relation) as now from jsonb_each(p_manifest -> 'tables') x (relation, expected)) m
  left join lateral etl.table_digest(m.now) g on m.now is not null
  where (g.rows, g.digest) is distinct from ((m.expected ->> 'rows')::bigint, m.expected ->> 'digest')
  order by 1
$$;

comment on function etl.compare_backup(jsonb) is
  'Tables of this database that are not as manifest p_manifest of a backup says. For the administrator.';
revoke all on function etl.compare_backup(jsonb) from public;
