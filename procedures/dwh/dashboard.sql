-- requires: dwh.dashboard_data
-- Contract: the dashboard as one HTML page that needs nothing besides: what the deployment stored of dashboard/web, with the
-- figures of this moment as JSON in it. live: the page may ask the server that it came from, which a stored one may not.
-- Invariant: <, > and & are written as escapes within the JSON, so that no value can end the element that it is in.
create or replace function dwh.dashboard(live boolean default false)
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select replace(split_part(p.content, '@@data@@', 1), '@@connect@@', case when live then '''self''' else '''none''' end)
         || replace(replace(replace(d.figures, '<', '\u003c'), '>', '\u003e'), '&', '\u0026')
         || split_part(p.content, '@@data@@', 2)
  from etl.page p
  cross join (select json_build_object('live', live, 'data', dwh.dashboard_data())::text) d (figures)
  where p.page = 'dashboard'
$$;

comment on function dwh.dashboard(boolean) is
  'The dashboard as one self-contained HTML page: psql -XAtqc ''select dwh.dashboard()'' > dashboard.html. live: for a server that answers its further questions. For headrace_reader.';
revoke all on function dwh.dashboard(boolean) from public;
grant execute on function dwh.dashboard(boolean) to headrace_reader;
