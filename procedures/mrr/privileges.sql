-- Contract: the statements that give a mirror that is made anew the privileges that this one has, and no others: what default privileges gave to
-- it is taken back first. Those of its owner stay.
create or replace function mrr.privileges(p_mirror regclass)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with granted as (
    select c.oid::regclass as mirror, case a.grantee when 0 then 'public' else a.grantee::regrole::text end as grantee,
           string_agg(a.privilege_type, ', ') filter (where not a.is_grantable) as plain, string_agg(a.privilege_type, ', ') filter (where a.is_grantable) as grantable
    from pg_class c cross join aclexplode(c.relacl) a
    where c.oid = p_mirror and a.grantee <> c.relowner
    group by 1, 2
  ), anew as (
    select distinct p_mirror as mirror, case a.grantee when 0 then 'public' else a.grantee::regrole::text end as grantee
    from pg_class c
    join pg_default_acl d on d.defaclrole = c.relowner and d.defaclobjtype = 'r' and d.defaclnamespace in (0, c.relnamespace)
    cross join aclexplode(d.defaclacl) a
    where c.oid = p_mirror and a.grantee <> c.relowner
  )
  select string_agg(s.statement, '; ' order by s.place)
  from (
    select 1 as place, format('revoke all on %s from %s', n.mirror, n.grantee) as statement from anew n
    union all
    select 2, format('grant %s on %s to %s', g.plain, g.mirror, g.grantee) from granted g where g.plain is not null
    union all
    select 2, format('grant %s on %s to %s with grant option', g.grantable, g.mirror, g.grantee) from granted g where g.grantable is not null) s
$$;

comment on function mrr.privileges(regclass) is
  'Statements that give a mirror that is made anew the privileges of this one; null where it needs none. Internal.';
revoke all on function mrr.privileges(regclass) from public;
