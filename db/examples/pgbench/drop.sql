-- In the warehouse: takes away all that star.sql and the runs of its pipeline made; the log of the runs stays until it is purged.
--   python3 bootstrap.py psql warehouse -f db/examples/pgbench/drop.sql
\set ON_ERROR_STOP on
begin;
drop view dwh.metric_transactions;
call etl.remove_pipeline('bank');
commit;
