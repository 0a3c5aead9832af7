#!/bin/sh
# Makes the sample shop in a new operational database, with 100 000 sales, and has it go on selling where pg_cron lives in
# this database. The official image runs it once, as the superuser, when it has made the database.
set -eu
HEADRACE_ROWS=${HEADRACE_ROWS:-100000}
export HEADRACE_ROWS
cd "${HEADRACE_OPERATIONAL:-/headrace/operational}"
psql --no-psqlrc --set ON_ERROR_STOP=1 --quiet --username "${POSTGRES_USER:-postgres}" --dbname "${POSTGRES_DB:-operational}" >/dev/null <<'SQL'
\getenv rows HEADRACE_ROWS
\i schema.sql
\i generate.sql
\i sell.sql
call public.generate(rows => :rows, seed => 1);
select coalesce(current_setting('cron.database_name', true) = current_database(), false) as has_cron \gset
\if :has_cron
  create extension if not exists pg_cron;
  select cron.schedule('headrace:sell', '* * * * *', 'call public.sell()');
\endif
SQL
