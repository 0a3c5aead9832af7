-- At the source, after  pgbench --initialize : lets the role that Headrace reads with read pgbench's tables.
--   python3 bootstrap.py psql op -f db/examples/pgbench/source.sql
\set ON_ERROR_STOP on
grant select on public.pgbench_branches, public.pgbench_tellers, public.pgbench_accounts, public.pgbench_history to headrace_source;
