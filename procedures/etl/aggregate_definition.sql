-- Contract: the CREATE AGGREGATE that makes the aggregate p_oid again, as pg_get_functiondef() gives it for every other kind
-- of routine; null if there is no such aggregate (any more).
create or replace function etl.aggregate_definition(p_oid oid)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format(E'CREATE AGGREGATE %I.%I(%s) (\n%s\n)', n.nspname, p.proname,
                coalesce(nullif(pg_get_function_arguments(p.oid), ''), '*'),
                (select string_agg(format('  %s', concat_ws(' = ', o.name, nullif(o.value, ''))), E',\n' order by o.position)
                 from (values
                   (1, 'SFUNC', a.aggtransfn::text),
                   (2, 'STYPE', format_type(a.aggtranstype, null)),
                   (3, 'SSPACE', nullif(a.aggtransspace, 0)::text),
                   (4, 'FINALFUNC', nullif(a.aggfinalfn::text, '-')),
                   (5, case when a.aggfinalextra then 'FINALFUNC_EXTRA' end, ''),
                   (6, 'FINALFUNC_MODIFY', case when a.aggfinalfn <> 0 then m.words ->> a.aggfinalmodify::text end),
                   (7, 'COMBINEFUNC', nullif(a.aggcombinefn::text, '-')),
                   (8, 'SERIALFUNC', nullif(a.aggserialfn::text, '-')),
                   (9, 'DESERIALFUNC', nullif(a.aggdeserialfn::text, '-')),
                   (10, 'INITCOND', quote_literal(a.agginitval)),
                   (11, 'MSFUNC', nullif(a.aggmtransfn::text, '-')),
                   (12, 'MINVFUNC', nullif(a.aggminvtransfn::text, '-')),
                   (13, 'MSTYPE', format_type(nullif(a.aggmtranstype, 0), null)),
                   (14, 'MSSPACE', nullif(a.aggmtransspace, 0)::text),
                   (15, 'MFINALFUNC', nullif(a.aggmfinalfn::text, '-')),
                   (16, case when a.aggmfinalextra then 'MFINALFUNC_EXTRA' end, ''),
                   (17, 'MFINALFUNC_MODIFY', case when a.aggmfinalfn <> 0 then m.words ->> a.aggmfinalmodify::text end),
                   (18, 'MINITCOND', quote_literal(a.aggminitval)),
                   (19, 'SORTOP', (select format('OPERATOR(%I.%s)', s.nspname, sort.oprname)
                                   from pg_operator sort
                                   join pg_namespace s on s.oid = sort.oprnamespace
                                   where sort.oid = a.aggsortop)),
                   (20, 'PARALLEL', case p.proparallel when 's' then 'SAFE' when 'r' then 'RESTRICTED' else 'UNSAFE' end),
                   (21, case when a.aggkind = 'h' then 'HYPOTHETICAL' end, '')
                 ) o (position, name, value)
                 where o.name is not null and o.value is not null))
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  join pg_aggregate a on a.aggfnoid = p.oid
  cross join (values ('{"r": "READ_ONLY", "s": "SHAREABLE", "w": "READ_WRITE"}'::jsonb)) m (words)
  where p.oid = p_oid
$$;

comment on function etl.aggregate_definition(oid) is
  'The CREATE AGGREGATE that makes the aggregate p_oid again; null if there is none. Internal.';
revoke all on function etl.aggregate_definition(oid) from public;
