# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
# restore.sh physical: the whole server, in its place or beside it, to the end of its WAL or to a moment.

# moment_of_batch: when the run ended that published the batch, as the warehouse knows; it has to answer.
moment_of_batch() {
  AT=$(sql -v batch="$BATCH" 2>/dev/null <<<"select r.finished_at from etl.batch b join etl.run_log r on r.run_id = b.published_run_id where b.batch_id = :'batch';") || true
  [ -n "$AT" ] || die "$EXIT_FAILED" "the warehouse does not know, or cannot say, when batch $BATCH was published" "Give the moment: --at '2026-03-01 14:00:00+00'"
  log "batch $BATCH was published by a run that ended at $AT"
}

# bring DATA: has the files of the backup in a data directory.
bring() {
  local target=(--type=default)
  if [ -n "$BASE" ]; then
    [ -z "$AT" ] || die "$EXIT_USAGE" "$BASE has no archived WAL, so it gives its own moment only" "Leave out --at and --batch."
    pg_verifybackup --quiet "$BACKUPS/physical/$BASE" 2>"$WORK/err" || die "$EXIT_BAD" "$BASE is not as it was written: $(head -n 1 "$WORK/err")"
    mkdir -p "$1"
    cp -a "$BACKUPS/physical/$BASE/." "$1/"
    chmod 700 "$1"
    [ "$(id -u)" != 0 ] || chown -R "$SERVER_USER" "$1"
    return 0
  fi
  [ -z "${UNTIL:-}" ] || target=(--type="$UNTIL" --target-action=promote)
  [ -z "$AT" ] || target=(--type=time --target="$AT" --target-action=promote)
  [ -z "$FROM" ] || target+=(--set="$FROM")
  [ "$1" = "$DATA" ] || target+=(--pg1-path="$1")
  as_server mkdir -p "$1" 2>/dev/null || true
  [ ! -e "$1/PG_VERSION" ] || target+=(--delta --force) # files that are there and right are left
  watch_step "restoring files"
  run backrest restore "${target[@]}" || die "${RESTORE_CODE:-$EXIT_FAILED}" "pgBackRest could not restore: $(backrest_said)"
  end_watch
}

# need_set_before: that a backup ended before the moment, which is better known before the server is stopped.
need_set_before() {
  [[ -n $AT && -z $BASE ]] || return 0
  local moment stop
  moment=$(date -d "$AT" +%s 2>/dev/null) || die "$EXIT_USAGE" "'$AT' is no moment" "Write it as '2026-03-01 14:00:00+00'."
  for stop in $(as_server pgbackrest --config="$(repository_conf)" --stanza=headrace --log-level-console=off --log-level-file=off --output=json info </dev/null \
    | grep -oE '"stop":[0-9]+' | cut -d : -f 2); do
    [ "$stop" -ge "$moment" ] || return 0
  done
  die "$EXIT_FAILED" "no backup was complete before $AT" "backup.sh list"
}

# find_origin: whose backups these are. Sets DATA and SERVER_USER, or BASE for a backup by pg_basebackup.
find_origin() {
  BASE='' DATA=''
  if [ -e "$(repository_conf)" ] && [[ $FROM != base-* ]]; then
    command -v pgbackrest >/dev/null || die "$EXIT_FAILED" "pgBackRest is not installed" "Install the package pgbackrest."
    DATA=$(as_owner_of "$(repository_conf)" sed -n 's/^pg1-path=//p' "$(repository_conf)")
    SERVER_USER=$(stat -c %U "$(repository_conf)")
  else
    BASE=${FROM:-$(base_backups | head -n 1)}
    [[ -n $BASE && -d $BACKUPS/physical/$BASE ]] || die "$EXIT_FAILED" "there is no physical backup ${FROM:+$FROM }in $BACKUPS/physical" "backup.sh physical"
    FROM=
    DATA=$(sql -c "show data_directory" 2>/dev/null) || true
    if [ -d "$DATA" ]; then own_data "$DATA"; else choose_server_user; fi
  fi
}

as_owner_of() { SERVER_USER=$(stat -c %U "$1") as_server "${@:2}"; }

choose_server_user() {
  local user
  SERVER_USER=$(id -un)
  [ "$(id -u)" = 0 ] || return 0
  for user in ${HEADRACE_BACKUP_USER:-headrace postgres}; do
    ! id "$user" >/dev/null 2>&1 || { SERVER_USER=$user; return 0; }
  done
  die "$EXIT_USAGE" "there is no user to run the server as" "Set HEADRACE_BACKUP_USER."
}

# recovered DATA ARCHIVE IDENTITY: lets recovery end, and leaves the warehouse such that the next run brings it level.
recovered() {
  local database=${PGDATABASE:-warehouse}
  RECOVERED_USER=${PGUSER:-postgres}
  recover "$1" "$2"
  export PGDATABASE=$database
  if [ "$3" = new ]; then # its schedule is deployed anew, under its own id
    for database in $(sql -c "select quote_ident(datname) from pg_database where datallowconn and not datistemplate"); do
      sql --dbname="$database" <<'SQL'
set session_replication_role = replica;
select to_regclass('cron.job') is not null as has_cron \gset
\if :has_cron
  delete from cron.job where jobname like 'headrace:%';
\endif
SQL
    done
  fi
  sql -c "select etl.after_restore(null, '$3')" >/dev/null || die "$EXIT_FAILED" "the restored server has no warehouse in database $PGDATABASE"
  log "recovered, at batch $(sql -c "select max(batch_id) from etl.batch where published_at is not null")"
}

restore_physically() {
  local data began=$SECONDS identity=auto archive=on
  lock_place
  CLEAN_UP=clean_up_restored
  ends
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/headrace-restore-XXXXXX")
  [ -z "$INTO" ] || die "$EXIT_USAGE" "a physical restore is of a whole server, not into a database" "Use --directory, or restore all."
  find_origin
  [ -z "$BATCH" ] || moment_of_batch
  SERVER_VERSION=$(cat "$DATA/PG_VERSION" 2>/dev/null || cat "$BACKUPS/physical/$BASE/PG_VERSION" 2>/dev/null || pg_config --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
  find_programs
  need_set_before
  private_place
  data=${DIRECTORY:-$DATA}
  [ -n "$data" ] || die "$EXIT_USAGE" "it is not known where the server's data goes" "--directory DIR"
  if [ -n "$DIRECTORY" ] && [ "$DIRECTORY" != "$DATA" ]; then
    [ "$IDENTITY" = keep ] || identity=new
    archive=off
    [[ -n $PORT && $PORT =~ ^[0-9]+$ ]] || die "$EXIT_USAGE" "--directory needs --port" "restore.sh --help"
  fi
  log "${DRY:+would }restore the server to $data${AT:+, as it was at $AT}, from ${FROM:-${BASE:-the newest backup that fits}}"
  if [ -n "$(ls -A "$data" 2>/dev/null)" ] && [ -z "$FORCE" ]; then
    [ -z "$DRY" ] || { log "it would take --force, since $data has a server"; exit 0; }
    die "$EXIT_REFUSED" "$data has a server, which would be overwritten" "Add --force, or restore beside it: --directory DIR --port N"
  fi
  [ -z "$DRY" ] || exit 0
  if is_running "$data"; then
    log "stopping the server in $data"
    shut_down "$data" || die "$EXIT_FAILED" "the server in $data does not stop"
  fi
  if [ -n "$BASE" ] && [ -n "$(ls -A "$data" 2>/dev/null)" ]; then
    as_server mv "$data" "$data.before-restore-$(date -u +%Y%m%dT%H%M%SZ)"
  fi
  [ -d "$data" ] || { mkdir -p "$data" && chmod 700 "$data" && { [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$data"; }; }
  bring "$data"
  log "the files are there"
  RESTORED=$data
  recovered "$data" "$archive" "$identity"
  open_entry restore "${FROM:-${BASE:-newest}}"
  close_entry succeeded "server to $data${AT:+, as it was at $AT}, in $((SECONDS - began)) s"
  shut_down "$data"
  RESTORED=
  if [ "$archive" = off ]; then
    start_beside "$data"
  else
    log "done in $((SECONDS - began)) s. Start the server as you always do (bundled: python3 bootstrap.py up)"
  fi
}

# start_beside DATA: lets the copy listen on a port of its own and archive nothing.
start_beside() {
  printf '%s\n' "port = $PORT" "archive_mode = off" "archive_command = ''" "log_directory = 'log'" | as_server tee -a "$1/postgresql.auto.conf" >/dev/null
  [ -e "$1/postgresql.conf" ] || printf '%s\n' "listen_addresses = '127.0.0.1'" "unix_socket_directories = '/tmp'" | as_server tee "$1/postgresql.conf" >/dev/null
  [ -e "$1/pg_hba.conf" ] || echo "host all all 127.0.0.1/32 scram-sha-256" | as_server tee "$1/pg_hba.conf" >/dev/null
  (cd "$1" && as_server "$PGBIN/pg_ctl" start --silent --wait --pgdata="$1" --log="$1/start.log" >/dev/null 2>&1 9>&-) \
    || die "$EXIT_FAILED" "the restored server does not start: $(tail -n 1 "$1/start.log")"
  log "done: it listens on port $PORT. Its jobs are scheduled by a deployment: WAREHOUSE_DSN=… alembic upgrade head"
  log "to end it: $PGBIN/pg_ctl stop -D $1, as $SERVER_USER"
}

clean_up_restored() {
  [ -n "${WORK:-}" ] || return 0
  [ -z "${RESTORED:-}" ] || ! is_running "$RESTORED" || shut_down "$RESTORED" || true
  rm -rf "$WORK"
}
