#!/bin/sh
# Deploys the warehouse, lets its reader in, and makes the source and the sample's tables known to it. Again, it changes
# only what has changed, so it runs at every start. Secrets are files below $SECRETS and are never an argument.
set -eu
secrets=${SECRETS:-/run/secrets}
cd "$(dirname "$0")/../.."
secret() { cat "$secrets/$1"; }
warehouse() {
  PGPASSWORD=$(secret warehouse_password) psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host "$WAREHOUSE_HOST" \
    --port "${WAREHOUSE_PORT:-5432}" --username postgres --dbname "${WAREHOUSE_DB:-warehouse}" "$@"
}
operational() {
  PGPASSWORD=$(secret operational_password) psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host "$OPERATIONAL_HOST" \
    --port "${OPERATIONAL_PORT:-5432}" --username postgres --dbname "${OPERATIONAL_DB:-operational}" "$@"
}

echo "deploy: revisions, procedures, jobs"
PGPASSWORD=$(secret warehouse_password) \
  WAREHOUSE_DSN="postgresql://postgres@$WAREHOUSE_HOST:${WAREHOUSE_PORT:-5432}/${WAREHOUSE_DB:-warehouse}" alembic upgrade head

echo "deploy: the reader of dwh"
READER_PASSWORD=$(secret reader_password) warehouse <<'SQL'
\getenv password READER_PASSWORD
alter role headrace_reader password :'password';
SQL

echo "deploy: the source"
publication=$(warehouse --tuples-only --no-align --command "select etl.slot_name('sales')")
HEADRACE_SOURCE_PASSWORD=$(secret source_password) operational --set "publication=$publication" \
  --set 'tables=public.customers, public.products, public.sales' --file db/source.sql >/dev/null
SOURCE_PASSWORD=$(secret source_password) OPERATIONAL_PORT=${OPERATIONAL_PORT:-5432} \
  OPERATIONAL_DB=${OPERATIONAL_DB:-operational} OPERATIONAL_HOST=$OPERATIONAL_HOST warehouse <<'SQL'
\getenv host OPERATIONAL_HOST
\getenv port OPERATIONAL_PORT
\getenv dbname OPERATIONAL_DB
\getenv password SOURCE_PASSWORD
call etl.add_source('op', jsonb_build_object('host', :'host', 'port', :'port', 'dbname', :'dbname'), 'headrace_source', :'password');
select format('call etl.add_table(%L, %L, pipeline => %L, capture => %L, key => %L)', 'op', t.name, 'sales', 'log', t.key)
from (values (1, 'public.customers', '{id}'), (2, 'public.products', '{id}'), (3, 'public.sales', null)) t (number, name, key)
where not exists (select from etl.source_table s where s.source = 'op' and s.source_schema || '.' || s.source_name = t.name)
order by t.number
\gexec
SQL
echo "deploy: done"
