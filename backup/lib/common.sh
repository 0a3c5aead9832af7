# shellcheck shell=bash
# What the scripts of backup/ share: settings, messages, the connection, the lock, how a script ends.
# Sourced, not run. Each script sets PROGRAM before.
# shellcheck disable=SC2034 # the scripts use what is set here

readonly EXIT_FAILED=1 EXIT_USAGE=2 EXIT_REFUSED=3 EXIT_BAD=4 EXIT_BUSY=5 EXIT_RESTART=6 EXIT_FINDINGS=7
readonly LAYERS=(base etl mrr stg dwh)
readonly SETTING='^[[:space:]]*((HEADRACE|PG|WAREHOUSE)[A-Z0-9_]*)=(.*)$'
# Set here, whatever the environment has under these names: some are deleted at the end.
BYTES='' CHILD='' CLEAN_UP='' ENTRY='' FAILURE='' HOLDER='' IN_RUN='' KNOWN='' IS_BAD='' MADE='' PART='' RESTORED='' RESTORE_CODE='' RESTORE_FAILED=''
SCRATCH='' UNTIL='' WATCHER='' WHERE='' WORK=''

# ---------------------------------------------------------------------------------------------------------------------
# Messages: one line per step on stderr, a line that moves only on a terminal
# ---------------------------------------------------------------------------------------------------------------------
log() { printf '%s %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$PROGRAM" "$*" >&2; }

# die CODE MESSAGE [WAY_OUT]: what is wrong, and what to do.
die() {
  FAILURE=$2 KNOWN=1
  log "$2"
  [ -z "${3:-}" ] || printf '  %s\n' "$3" >&2
  exit "$1"
}

# The help of a script is the comment at its top.
help() { sed -n '/^# /,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; }

human() { numfmt --to=iec --suffix=B "$1"; }

# watch COMMAND…: shows on a terminal what the command says, and for how long, until it is ended.
watch() {
  [ -t 2 ] || return 0
  local began=$SECONDS
  while sleep 1; do printf '\r  %s, %s s \033[K' "$("$@")" "$((SECONDS - began))" >&2; done &
  WATCHER=$!
}

watch_step() { watch echo "$1"; }

size_of() { du -sh "$1" 2>/dev/null | cut -f1; }

end_watch() {
  [ -n "${WATCHER:-}" ] || return 0
  kill "$WATCHER" 2>/dev/null || true
  wait "$WATCHER" 2>/dev/null || true
  WATCHER=
  printf '\r\033[K' >&2
}

# run COMMAND…: runs it such that a signal to this script ends it at once.
run() {
  local status=0
  IN_RUN=1 "$@" </dev/null &
  CHILD=$!
  wait "$CHILD" || status=$?
  CHILD=
  return "$status"
}

# ---------------------------------------------------------------------------------------------------------------------
# Settings: the environment wins over the file
# ---------------------------------------------------------------------------------------------------------------------
load_settings() {
  local file=${HEADRACE_BACKUP_CONF:-/etc/headrace/backup.conf} line name value
  if [ -e "$file" ] || [ -n "${HEADRACE_BACKUP_CONF:-}" ]; then
    [ -r "$file" ] || die "$EXIT_USAGE" "cannot read the settings in $file" "Set HEADRACE_BACKUP_CONF to a file that $(id -un) can read."
    while IFS= read -r line || [ -n "$line" ]; do
      [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
      [[ $line =~ $SETTING ]] || die "$EXIT_USAGE" "$file has a line that is no setting: ${line%%=*}" "Write NAME=value, without export and quotes around the name."
      name=${BASH_REMATCH[1]} value=${BASH_REMATCH[3]}
      value=${value%"${value##*[![:space:]]}"}
      [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]] && value=${BASH_REMATCH[1]}
      [ -n "${!name+set}" ] || export "$name=$value"
    done <"$file"
  fi
  BACKUPS=${HEADRACE_BACKUP_DIR:-/var/backups/headrace}
  BACKUPS=${BACKUPS%/}
  JOBS=${HEADRACE_BACKUP_JOBS:-$(nproc)}
  KEEP=${HEADRACE_BACKUP_KEEP:-7}
  KEEP_DAYS=${HEADRACE_BACKUP_KEEP_DAYS:-14}
  LOCK_TIMEOUT=${HEADRACE_BACKUP_LOCK_TIMEOUT:-60}
  local number
  for number in "HEADRACE_BACKUP_JOBS=$JOBS" "HEADRACE_BACKUP_KEEP=$KEEP" "HEADRACE_BACKUP_KEEP_DAYS=$KEEP_DAYS" "HEADRACE_BACKUP_LOCK_TIMEOUT=$LOCK_TIMEOUT"; do
    [[ ${number#*=} =~ ^[0-9]+$ ]] || die "$EXIT_USAGE" "$number is not a number"
  done
  [[ $JOBS -gt 0 && $KEEP -gt 0 ]] || die "$EXIT_USAGE" "HEADRACE_BACKUP_JOBS and HEADRACE_BACKUP_KEEP must be above 0"
  [[ $BACKUPS = /* ]] || die "$EXIT_USAGE" "HEADRACE_BACKUP_DIR must begin with /, it is $BACKUPS"
  umask 077
  export LC_ALL=C.UTF-8 PGAPPNAME="headrace $PROGRAM"
  GIVEN=$(export -p | sed -n 's/^declare -x PG/export PG/p')
  [ -z "${WAREHOUSE_DSN:-}" ] || use_dsn "$WAREHOUSE_DSN"
}

# use_other_dsn URL: turns to another warehouse. What WAREHOUSE_DSN said of the password and of TLS is for its own server; on the same
# server, as the same user, it holds.
use_other_dsn() {
  local server="${PGHOST:-} ${PGPORT:-} ${PGUSER:-}" origin
  origin=$(export -p | sed -n 's/^declare -x PG/export PG/p')
  forget_connection
  eval "$GIVEN"
  use_dsn "$1"
  [ "$server" = "$PGHOST $PGPORT $PGUSER" ] || return 0
  eval "$origin"
  use_dsn "$1"
}

# forget_connection: takes all of libpq's variables out of the environment.
forget_connection() {
  local name
  for name in "${!PG@}"; do
    [[ $name = PGAPPNAME || $name = PGBIN ]] || unset "$name"
  done
}

decode() { local text=${1//\\/\\\\}; printf '%b' "${text//%/\\x}"; }

# use_dsn URL: makes libpq's environment of it, because what stands on a command line every user of the machine can read.
use_dsn() {
  local form='^postgres(ql)?://(([^:@/]*)(:([^@/]*))?@)?(\[([^]]*)\]|[^:/?]*)(:([0-9]+))?(/([^?]*))?(\?(.*))?$' pair name
  [[ $1 =~ $form ]] || die "$EXIT_USAGE" "the warehouse's DSN is no URL" "Write postgresql://user@host:port/database, or set PGHOST, PGPORT, PGUSER, PGDATABASE or PGSERVICE instead."
  local pairs user=${BASH_REMATCH[3]} password=${BASH_REMATCH[5]} host=${BASH_REMATCH[7]:-${BASH_REMATCH[6]}}
  local port=${BASH_REMATCH[9]} database=${BASH_REMATCH[11]} query=${BASH_REMATCH[13]}
  unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGSERVICE
  if [ -n "$password" ]; then
    PGPASSWORD=$(decode "$password")
    export PGPASSWORD
  fi
  export PGHOST PGPORT=${port:-5432} PGUSER PGDATABASE
  PGHOST=$(decode "${host:-localhost}") PGUSER=$(decode "${user:-$(id -un)}") PGDATABASE=$(decode "${database:-$user}")
  IFS='&' read -ra pairs <<<"$query"
  for pair in "${pairs[@]}"; do
    name=${pair%%=*}
    case $name in
      host | port | user | password | dbname) name=PG$(tr '[:lower:]' '[:upper:]' <<<"${name/dbname/database}") ;;
      sslmode | sslrootcert | sslcert | sslkey | sslcrl | options | service | passfile | channel_binding | target_session_attrs) name=PG${name^^}; name=${name//_/} ;;
      connect_timeout) name=PGCONNECT_TIMEOUT ;;
      *) die "$EXIT_USAGE" "parameter $name of the warehouse's DSN has no place in the environment" "Use a service file (PGSERVICE) for it." ;;
    esac
    export "$name=$(decode "${pair#*=}")"
  done
}

# ---------------------------------------------------------------------------------------------------------------------
# The warehouse
# ---------------------------------------------------------------------------------------------------------------------
# sql [psql's arguments]: psql on the warehouse, plain output, ended by the first error.
sql() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

# reach: says what the server is, or ends with libpq's own words.
reach() {
  local said
  said=$(sql -c "select current_setting('server_version_num')::int / 10000, to_regprocedure('etl.backup_manifest(text[])') is not null" 2>&1) \
    || die "$EXIT_FAILED" "cannot reach the warehouse: ${said##*$'\n'}" "Check WAREHOUSE_DSN, or PGHOST, PGPORT, PGUSER and PGDATABASE; the password comes from PGPASSWORD, ~/.pgpass or a service file."
  SERVER_VERSION=${said%%|*}
  [[ $said = *"|t" ]] || die "$EXIT_FAILED" "database ${PGDATABASE:-} has no Headrace that can be backed up" "Deploy it: alembic upgrade head"
  find_programs
}

# find_programs: puts the client programs of the server's version, or of a newer one, before others. Debian's own
# wrappers in /usr/bin choose by cluster, which may not be this one's.
find_programs() {
  local dir
  if [ -n "${HEADRACE_BACKUP_PGBIN:-}" ]; then
    PGBIN=$HEADRACE_BACKUP_PGBIN
  else
    PGBIN=
    for dir in /usr/lib/postgresql/"$SERVER_VERSION"/bin $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr) /usr/pgsql-"$SERVER_VERSION"/bin; do
      [ ! -x "$dir/pg_dump" ] || { PGBIN=$dir; break; }
    done
  fi
  export PATH=${PGBIN:+$PGBIN:}$PATH
  command -v pg_dump >/dev/null || die "$EXIT_FAILED" "pg_dump is not installed" "Install postgresql-client-$SERVER_VERSION, or set HEADRACE_BACKUP_PGBIN."
  DUMP_VERSION=$(pg_dump --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
  [ "$DUMP_VERSION" -ge "$SERVER_VERSION" ] || die "$EXIT_FAILED" "pg_dump $DUMP_VERSION is older than the server, $SERVER_VERSION" "Install postgresql-client-$SERVER_VERSION, or set HEADRACE_BACKUP_PGBIN."
}

# open_entry KIND [BACKUP]: writes into etl.backup_log that it begins. Sets ENTRY.
open_entry() {
  ENTRY=$(sql -v kind="$1" -v place="$(uname -n):$BACKUPS" -v backup="${2:-}" <<<"select etl.open_backup(:'kind', :'place', nullif(:'backup', ''));")
}

# close_entry STATUS MESSAGE [BYTES] [BACKUP]: writes how it ended; a warehouse that is away now does not hear of it.
close_entry() {
  [ -n "${ENTRY:-}" ] || return 0
  sql -v entry="$ENTRY" -v status="$1" -v message="$2" -v bytes="${3:-}" -v backup="${4:-}" 2>/dev/null \
    <<<"call etl.close_backup(:'entry', :'status', :'message', nullif(:'bytes', '')::bigint, nullif(:'backup', ''));" \
    || log "the outcome could not be written to etl.backup_log"
  ENTRY=
}

# ---------------------------------------------------------------------------------------------------------------------
# Beginning and end
# ---------------------------------------------------------------------------------------------------------------------
# lock_place: one at a time works below HEADRACE_BACKUP_DIR. Programs that are started inherit the lock: if this script is
# killed, it is held until they have ended too, so nobody mistakes what they still write for a leftover.
lock_place() {
  mkdir -p "$BACKUPS" 2>/dev/null || die "$EXIT_FAILED" "cannot make the directory $BACKUPS" "Set HEADRACE_BACKUP_DIR to one that $(id -un) can write to."
  exec 9>"$BACKUPS/.lock" || die "$EXIT_FAILED" "cannot write to $BACKUPS" "Set HEADRACE_BACKUP_DIR to a directory that $(id -un) can write to."
  flock --nonblock 9 || die "$EXIT_BUSY" "another backup, verification or restore is at work in $BACKUPS" "Wait until it has ended."
}

# at_end: a script's EXIT trap. Sees to it that nothing half done stays; a script names its own part in CLEAN_UP.
at_end() {
  local status=$?
  trap '' INT TERM HUP
  end_watch
  [ -z "$CHILD" ] || { kill "$CHILD" 2>/dev/null || true; wait "$CHILD" 2>/dev/null || true; }
  [ -z "$CLEAN_UP" ] || "$CLEAN_UP"
  if [ "$status" != 0 ] && [ -z "${KNOWN:-}" ]; then # a program's own code, which means something else here
    log "failed: a command ended with $status (${WHERE:-unknown})"
    status=$EXIT_FAILED
  fi
  [ "$status" = 0 ] || close_entry failed "${FAILURE:-a command ended with an error}"
  exit "$status"
}

ends() {
  set -E
  trap 'WHERE=${BASH_SOURCE[0]##*/}:$LINENO' ERR
  trap at_end EXIT
  trap 'FAILURE="ended by a signal" KNOWN=1; log "$FAILURE"; exit 130' INT
  trap 'FAILURE="ended by a signal" KNOWN=1; log "$FAILURE"; exit 143' TERM HUP
}
