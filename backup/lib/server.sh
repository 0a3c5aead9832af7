# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
# The server's own side, which physical backups need: its user, its data directory, and a first start after a restore in which
# nothing but the restore itself is at work.

# as_server COMMAND…: as the user that servers run as; PostgreSQL and pgBackRest do not run as root. In run(), it takes the
# place of the shell, so that a signal reaches the program itself.
as_server() {
  local words=("$@")
  [ "$(id -u)" != 0 ] || words=(runuser -u "$SERVER_USER" -- "$@")
  if [ -n "${IN_RUN:-}" ]; then exec "${words[@]}"; else "${words[@]}"; fi
}

# own_data DIRECTORY: takes the owner of a data directory as the server's user. Sets SERVER_USER.
own_data() {
  [ -d "$1" ] || die "$EXIT_FAILED" "the server's data directory $1 is not on this machine" "Physical backups are made on the server's own machine; a logical one can be made from anywhere."
  SERVER_USER=$(stat -c %U "$1")
  [ "$(id -u)" = 0 ] || [ "$(id -un)" = "$SERVER_USER" ] || die "$EXIT_USAGE" "the server belongs to $SERVER_USER, not to $(id -un)" "Run this as root or as $SERVER_USER."
}

# private_place: a directory of the server's user for sockets and settings. Sets PLACE.
private_place() {
  [ "$(id -u)" != 0 ] || chmod 711 "$WORK"
  PLACE=$WORK/server
  mkdir -p "$PLACE"
  [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$PLACE"
}

# recover DATA ARCHIVE: starts a restored data directory until its recovery has ended. Settings are our own, so that neither
# pg_cron nor anybody else is at work in it: it listens on a socket that only its user and root reach. Points libpq there.
recover() {
  local options="listen_addresses = ''
unix_socket_directories = '$PLACE'
port = 5432
hba_file = '$PLACE/hba.conf'
hot_standby = off
max_prepared_transactions = 100
max_worker_processes = 32
shared_buffers = 128MB
logging_collector = off
shared_preload_libraries = ''
archive_mode = $2"
  printf '%s\n' "$options" | as_server tee "$PLACE/recovery.conf" >/dev/null
  echo "local all all trust" | as_server tee "$PLACE/hba.conf" >/dev/null
  # what ALTER SYSTEM set comes after the file and would win; what is given here wins over both
  (cd "$PLACE" && as_server "$PGBIN/pg_ctl" start --silent --wait --timeout=86400 --pgdata="$1" --log="$PLACE/log" \
    --options="-c config_file='$PLACE/recovery.conf' -c port=5432 -c listen_addresses='' -c archive_mode=$2 -c shared_preload_libraries='' -c logging_collector=off" >/dev/null 2>&1 9>&-) \
    || die "$EXIT_FAILED" "the restored server does not come up: $(grep -m 1 -E 'FATAL|PANIC' "$PLACE/log" || tail -n 1 "$PLACE/log")"
  forget_connection
  export PGHOST=$PLACE PGPORT=5432 PGUSER=${RECOVERED_USER:-postgres}
  until PGDATABASE=postgres sql -c "select" >/dev/null 2>&1; do # it takes nobody in before its recovery has ended
    is_running "$1" || die "$EXIT_FAILED" "the restored server gave up: $(grep -m 1 -E 'FATAL|PANIC' "$PLACE/log" || tail -n 1 "$PLACE/log")"
    sleep 0.3
  done
}

# shut_down DATA
shut_down() { (cd "$PLACE" && as_server "$PGBIN/pg_ctl" stop --silent --mode=fast --wait --timeout=600 --pgdata="$1" >/dev/null 2>&1 9>&-); }

is_running() { [ -f "$1/postmaster.pid" ] && as_server "$PGBIN/pg_ctl" status --pgdata="$1" >/dev/null 2>&1; }
