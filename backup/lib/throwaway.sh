# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
# verify.sh: an instance that lives in a temporary directory, listens on a socket there alone, and is gone afterwards.

# make_place: the directory that all of it is in. Short, since a socket's path may have 107 characters.
make_place() {
  choose_server_user
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/headrace-verify-XXXXXX")
  mkdir "$WORK/server"
  mkfifo "$WORK/pipe"
  [ "$(id -u)" != 0 ] || { chmod 711 "$WORK"; chown "$SERVER_USER" "$WORK/server"; }
  CLEAN_UP=clean_up_throwaway
}

# start_throwaway: starts what is in $WORK/server/data and points libpq at it.
start_throwaway() {
  (cd "$WORK/server" && as_server "$PGBIN/pg_ctl" start --wait --timeout=600 --pgdata="$WORK/server/data" --log="$WORK/server/log" --options="$1" >/dev/null 2>&1 9>&-) \
    || die "$EXIT_FAILED" "the throw-away instance does not start: $(grep -m 1 -E 'FATAL|PANIC' "$WORK/server/log" || tail -n 1 "$WORK/server/log")"
  forget_connection
  export PGHOST=$WORK/server PGPORT=5432
}

make_throwaway() {
  [[ -n $PGBIN && -x $PGBIN/initdb ]] || die "$EXIT_FAILED" "PostgreSQL's server programs are not installed in ${PGBIN:-this PATH}" "Install postgresql-$SERVER_VERSION."
  (cd "$WORK/server" && as_server "$PGBIN/initdb" --pgdata="$WORK/server/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync \
    >/dev/null 2>"$WORK/err") || die "$EXIT_FAILED" "initdb failed: $(tail -n 1 "$WORK/err")"
  start_throwaway "-c port=5432 -c listen_addresses='' -c unix_socket_directories='$WORK/server' -c fsync=off -c full_page_writes=off -c max_wal_size=4GB -c shared_buffers=256MB -c maintenance_work_mem=256MB -c autovacuum=off"
  export PGUSER=postgres
}

# The warehouse's connection is put aside while libpq is pointed at the throw-away instance.
keep_environment() { ORIGIN=$(export -p | sed -n 's/^declare -x PG/export PG/p'); }

clean_up_throwaway() {
  [ -n "${WORK:-}" ] || return 0
  forget_connection
  eval "$ORIGIN"
  [ ! -f "$WORK/server/data/postmaster.pid" ] || (cd "$WORK/server" && as_server "$PGBIN/pg_ctl" stop --mode=immediate --pgdata="$WORK/server/data" >/dev/null 2>&1) || true
  rm -rf "$WORK"
  WORK=
}

# ---------------------------------------------------------------------------------------------------------------------
# What is looked at. Each prints its findings, nothing if all is well.
# ---------------------------------------------------------------------------------------------------------------------
findings_of_manifest() {
  sql <<'SQL'
\set manifest `cat "$HEADRACE_MANIFEST"`
select c.relation || ' ' || c.finding from etl.compare_backup(:'manifest') c;
SQL
}

findings_of_checks() {
  sql <<'SQL'
set client_min_messages = error;
select format('check %s of pipeline %s found %s rows', r.check_name, p.pipeline, r.rows_found)
from etl.pipeline p cross join lateral unnest(etl.run_checks(p.pipeline)) r
where r.status = 'failed';
SQL
}

# prepare_run: the run only reads the source, so tables captured from its log are compared instead: no slot, no publication.
# Nobody is called back.
prepare_run() {
  sql <<'SQL'
update etl.source_table set capture = 'full', copy_snapshot = null, copy_lsn = null where capture = 'log';
delete from etl.slot;
update etl.pipeline set on_success = null, on_failure = null;
SQL
}

# try_source: whether all sources answer; says which does not.
try_source() {
  sql 2>"$WORK/err" >/dev/null <<'SQL' || { SOURCE_SAYS=$(grep -m 1 ERROR "$WORK/err" || head -n 1 "$WORK/err"); return 1; }
set client_min_messages = error;
set role headrace_owner;
select etl.connect_source(s.source), etl.disconnect_source(s.source) from etl.source s;
SQL
}

# findings_of_run: runs each pipeline once.
findings_of_run() {
  local pipeline pipelines
  # where it cannot be made ready, it must not run: it would write at the source
  prepare_run 2>"$WORK/err" || { echo "the run could not be made ready: $(grep -m 1 ERROR "$WORK/err")"; return 0; }
  pipelines=$(sql -c "select distinct t.pipeline from etl.source_table t where t.enabled order by 1")
  for pipeline in $pipelines; do
    sql -v pipeline="$pipeline" 2>"$WORK/err" <<<"call etl.run(:'pipeline', force => true);" || echo "the run failed: $(grep -m 1 ERROR "$WORK/err")"
    log "$(grep -m 1 NOTICE "$WORK/err" | sed 's/^.*NOTICE:  //' || echo "$pipeline was run")"
  done
}

# look CHECK WORDS [bad]: runs a check and keeps its findings; bad: they tell against the backup itself, not only against the
# warehouse that is in it.
look() {
  local found
  found=$("$1")
  if [ -z "$found" ]; then
    log "$2: good"
  else
    if [ -n "${3:-}" ]; then IS_BAD=1 FINDINGS=$found$'\n'$FINDINGS; else FINDINGS+=$found$'\n'; fi
    log "$2: bad"
    printf '  %s\n' "${found//$'\n'/$'\n  '}" >&2
  fi
}

# conclude NAME BYTES BEGAN: marks the backup, writes the log and ends with the code.
conclude() {
  local words="restored and compared in $((SECONDS - $3)) s"
  local mark=$BACKUPS/logical/$1.bad
  clean_up_throwaway
  if [ -n "$IS_BAD" ]; then
    [ ! -d "$BACKUPS/logical/$1" ] || printf 'bad: %s\n' "$(head -n 1 <<<"$FINDINGS")" >"$mark"
    die "$EXIT_BAD" "$1 is bad: $(head -n 1 <<<"$FINDINGS")"
  fi
  rm -f "$mark"
  [ -z "$FINDINGS" ] || die "$EXIT_FINDINGS" "$1 is as it was written, but: $(head -n 1 <<<"$FINDINGS")" "Mend that in the warehouse; the backup itself can be restored."
  close_entry succeeded "$words${SOURCE_SAYS:+; without a run, since the source does not answer}" "$2" "$1"
  log "$1 is good: $words"
}

# bad_restore MESSAGE: what pg_restore said tells against the backup, unless this machine is to blame.
bad_restore() {
  ! grep -qE 'No space left|out of memory|out of shared memory|server closed the connection|could not connect|terminating connection' "$WORK/err" || die "$EXIT_FAILED" "$1"
  FINDINGS="$1"$'\n' IS_BAD=1
  conclude "$NAME" '' "$SECONDS"
}

# verify KIND
verify() {
  local began=$SECONDS
  FINDINGS='' IS_BAD='' SOURCE_SAYS='' RESTORE_FAILED=bad_restore
  lock_place
  ends
  keep_environment
  make_place
  if sql -c "select" >/dev/null 2>"$WORK/err"; then
    open_entry verify
  else
    log "the warehouse does not answer, so the outcome stays here: $(tail -n 1 "$WORK/err")"
  fi
  keep_passwords
  "verify_${1}_backup"
  look findings_of_checks "checks"
  if [ -n "$RUN" ] && try_source; then
    look findings_of_run "one run"
  elif [ -n "$RUN" ]; then
    log "one run: left out, since the source does not answer: $SOURCE_SAYS"
  fi
  [ "$1" = logical ] || look findings_of_pages "pages" bad
  BYTES=${BYTES:-$(du -sb "$STORE" | cut -f1)}
  conclude "$NAME" "$BYTES" "$began"
}

verify_logical_backup() {
  NAME=$FROM
  [ -n "$NAME" ] || NAME=$(backups | head -n 1)
  [[ -n $NAME && -d $BACKUPS/logical/$NAME ]] || die "$EXIT_FAILED" "there is no backup ${NAME:+$NAME }in $BACKUPS/logical" "backup.sh logical"
  STORE=$BACKUPS/logical/$NAME
  if ! check_sums "$NAME"; then
    FINDINGS="$FINDING"$'\n' IS_BAD=1
    conclude "$NAME" '' "$SECONDS"
  fi
  log "$NAME: checksums hold"
  [[ " $(manifest "$NAME" layers) " = *" etl "*" dwh "* ]] || die "$EXIT_USAGE" "$NAME holds $(manifest "$NAME" layers), which is no whole warehouse to run" "verify.sh --from NAME"
  export HEADRACE_MANIFEST=$STORE/manifest.json
  SERVER_VERSION=$(manifest "$NAME" pg_dump)
  find_programs
  make_throwaway
  PGDATABASE=postgres sql <<<"create database headrace template template0;"
  export PGDATABASE=headrace
  restore_rows
  look findings_of_manifest "rows and checksums of $(grep -c '"digest"' "$HEADRACE_MANIFEST") tables" bad
  finish_restore
}

verify_physical_backup() {
  find_origin
  SERVER_VERSION=$(cat "$BACKUPS/physical/$BASE/PG_VERSION" 2>/dev/null || cat "$DATA/PG_VERSION" 2>/dev/null || pg_config --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
  find_programs
  [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$WORK/server"
  PLACE=$WORK/server
  NAME=${FROM:-${BASE:-$(newest_sets | tail -n 1)}}
  STORE=$BACKUPS/physical
  FROM=$NAME UNTIL=immediate RESTORE_CODE=$EXIT_BAD
  bring "$WORK/server/data"
  log "$NAME: restored, every file as its checksum says"
  recovered "$WORK/server/data" off new
}

# findings_of_pages: stops the restored server and reads every page, where pages have checksums.
findings_of_pages() {
  shut_down "$WORK/server/data"
  as_server "$PGBIN/pg_checksums" --check --pgdata="$WORK/server/data" >"$WORK/pages" 2>&1 \
    || grep -q 'not enabled' "$WORK/pages" || grep -m 1 -i 'failed\|error' "$WORK/pages"
}
