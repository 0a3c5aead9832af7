#!/bin/sh
# Serves the dashboard, as the reader of dwh. Its password is a file below $SECRETS.
set -eu
cd "$(dirname "$0")/../.."
PGPASSWORD=$(cat "${SECRETS:-/run/secrets}/reader_password")
export PGPASSWORD PGUSER=headrace_reader PGHOST="$WAREHOUSE_HOST" PGPORT="${WAREHOUSE_PORT:-5432}" PGDATABASE="${WAREHOUSE_DB:-warehouse}"
exec python3 -m db.containers.dashboard
