-- Contract: what a source's server is given besides what the caller says. PostgreSQL: time-outs, so that a source that hangs
-- stops nothing for ever, and that at both ends: else the source would keep a session whose warehouse is gone, and its snapshot,
-- for hours. mysql_fdw: all of Unicode, which its own default is not; times in UTC; one transaction over all tables that a
-- batch reads: without autocommit it begins with the first read, and at REPEATABLE READ InnoDB shows one snapshot until
-- etl.renew_connection(); and an hour for an answer, since a wait for it cannot be cancelled here. The latter two have
-- other names in MariaDB, which p_isolation tells.
create or replace function etl.default_options(p_fdw text, p_isolation text default 'transaction_isolation')
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case p_fdw
           when 'postgres_fdw' then
             '{"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000", "options": "-c lock_timeout=30s -c statement_timeout=1h -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=60000"}'::jsonb
           when 'mysql_fdw' then
             jsonb_build_object('fetch_size', '10000', 'character_set', case getdatabaseencoding() when 'UTF8' then 'utf8mb4' else 'auto' end, 'init_command',
                                format('SET time_zone = ''+00:00'', autocommit = 0, %s = ''REPEATABLE-READ'', %s', p_isolation,
                                       case p_isolation when 'tx_isolation' then 'max_statement_time = 3600' else 'max_execution_time = 3600000' end))
           else '{}'::jsonb end
$$;

comment on function etl.default_options(text, text) is
  'Options that a source''s server gets by default. Internal.';
revoke all on function etl.default_options(text, text) from public;
