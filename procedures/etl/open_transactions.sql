-- Contract: the transactions that write at a source now, in words for a message; null if there is none. Prepared ones are
-- named too, since they end only when somebody ends them.
create or replace function etl.open_transactions(p_source text)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(r.blocker, '; ')
  from etl_ext.dblink('headrace_' || p_source,
    'select concat(''backend '', a.pid, '' ('' || a.application_name || '')'', '' since '' || a.xact_start)'
    ' from pg_stat_activity a where a.backend_xid is not null and a.pid <> pg_backend_pid()'
    ' union all select format(''prepared transaction %L since %s'', p.gid, p.prepared) from pg_prepared_xacts p')
    r (blocker text)
$$;

comment on function etl.open_transactions(text) is
  'Transactions that write at a source now, in words. Needs the open connection. Internal.';
revoke all on function etl.open_transactions(text) from public;
