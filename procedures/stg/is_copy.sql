-- Contract: whether the first copy of a mirror waits to be published, so that its change set is a view (mrr.begin_copy).
create or replace function stg.is_copy(p_mirror text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select to_regclass(format('stg.%I', p_mirror || '_written')) is not null
$$;

comment on function stg.is_copy(text) is
  'Whether the change set of mirror p_mirror is a view of the mirror, since its first copy waits. Internal.';
revoke all on function stg.is_copy(text) from public;
