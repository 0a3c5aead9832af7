-- Contract: whether this process helps that one, p_leader, with its query.
-- Invariant: stable, so that it can be asked where no command may begin.
create or replace function mrr.is_helper(p_leader integer)
returns boolean
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select pg_backend_pid() <> p_leader
$$;

comment on function mrr.is_helper(integer) is 'Whether this process helps the backend p_leader with its query. Internal.';
revoke all on function mrr.is_helper(integer) from public;
