-- requires: dwh.attribute_list
-- Contract: the query (parameter $1: batch) of what a batch says of a dimension's members: source, business key,
-- attributes, op; one row per member. After a truncation (T) members that the batch does not bring again are gone; inferred
-- ones stay, since only facts ever spoke of them.
create or replace function dwh.incoming_members(p_dimension etl.dimension, p_is_truncated boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format(
    'select distinct on (r.source, r.%1$I) r.* from ('
    '   select s.source, s.%1$I, %2$s, s.op, s.change_seq from %3$s($1) s where s.op in (''I'', ''U'', ''D'') and s.%1$I is not null%4$s) r'
    ' order by r.source, r.%1$I, r.op = ''D'', r.change_seq desc',
    (p_dimension).business_key, dwh.attribute_list(p_dimension, 's.%1$I'), (p_dimension).stage::regproc,
    case when p_is_truncated then format(
      ' union all select d.source, d.%1$I, %2$s, ''D'', 0 from %3$s d where d.is_current and not d.is_inferred'
      ' and d.source in (select s.source from %4$s($1) s where s.op = ''T'')',
      (p_dimension).business_key, dwh.attribute_list(p_dimension, 'd.%1$I'), (p_dimension).dimension::regclass, (p_dimension).stage::regproc)
    else '' end)
$$;

comment on function dwh.incoming_members(etl.dimension, boolean) is
  'Text of the query that yields one row per member that batch $1 changes. Internal.';
revoke all on function dwh.incoming_members(etl.dimension, boolean) from public;
