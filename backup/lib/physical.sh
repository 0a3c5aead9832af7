# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
# backup.sh physical: the whole server by pgBackRest, with its WAL archived, so that any moment can be restored; where
# pgBackRest is absent by pg_basebackup, which gives the moment of the backup alone.

repository_conf() { echo "$BACKUPS/physical/pgbackrest.conf"; }

# backrest COMMAND…: pgBackRest as the server's user; its errors in $WORK/err.
backrest() {
  as_server pgbackrest --config="$(repository_conf)" --stanza=headrace --log-level-console=warn --log-level-file=off "$@" 2>>"$WORK/err" >>"$WORK/err" </dev/null
}

backrest_said() { (grep -m 1 'ERROR' "$WORK/err" || tail -n 1 "$WORK/err") | sed -E 's/^.*ERROR: *//'; }

# write_repository_conf DATA: pgBackRest's settings, readable by the server's user alone: they may hold keys.
write_repository_conf() {
  local physical=$BACKUPS/physical
  [[ $physical != *[\'\"\\%\$\`]* ]] || die "$EXIT_USAGE" "pgBackRest cannot keep backups in $BACKUPS: a quote, %, \$ or \\ in the name ends up in commands of the server" "Set HEADRACE_BACKUP_DIR to a plain name."
  chmod 711 "$BACKUPS"
  mkdir -p "$physical"
  [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$physical"
  as_server test -w "$physical" || die "$EXIT_FAILED" "the server's user $SERVER_USER cannot enter $physical" "Set HEADRACE_BACKUP_DIR to a directory below ones that every user may pass."
  as_server mkdir -p "$physical/lock" "$physical/spool" "$physical/repository"
  {
    echo "# Written by backup.sh physical at every call."
    echo "[global]"
    if [ -n "${HEADRACE_BACKUP_S3_BUCKET:-}" ]; then
      printf '%s\n' "repo1-type=s3" "repo1-path=${HEADRACE_BACKUP_S3_PATH:-/headrace}" "repo1-s3-bucket=$HEADRACE_BACKUP_S3_BUCKET" \
        "repo1-s3-endpoint=${HEADRACE_BACKUP_S3_ENDPOINT:?is not set}" "repo1-s3-region=${HEADRACE_BACKUP_S3_REGION:-us-east-1}" \
        "repo1-s3-key=${HEADRACE_BACKUP_S3_KEY:?is not set}" "repo1-s3-key-secret=${HEADRACE_BACKUP_S3_KEY_SECRET:?is not set}" \
        "repo1-s3-uri-style=${HEADRACE_BACKUP_S3_URI_STYLE:-host}"
    else
      echo "repo1-path=$physical/repository"
    fi
    if [ -n "${HEADRACE_BACKUP_CIPHER_PASS:-}" ]; then
      printf '%s\n' "repo1-cipher-type=aes-256-cbc" "repo1-cipher-pass=$HEADRACE_BACKUP_CIPHER_PASS"
    fi
    if [ -n "${HEADRACE_BACKUP_KEEP_FULL_DAYS:-}" ]; then
      printf '%s\n' "repo1-retention-full-type=time" "repo1-retention-full=$HEADRACE_BACKUP_KEEP_FULL_DAYS"
    else
      echo "repo1-retention-full=${HEADRACE_BACKUP_KEEP_FULL:-2}"
    fi
    # Where the repository cannot be reached, WAL is kept up to this much and then let go: a gap in the archive, which the
    # next backup closes, instead of a warehouse that stops with a full disk.
    printf '%s\n' "archive-push-queue-max=${HEADRACE_BACKUP_WAL_MAX:-16GiB}" "compress-type=${HEADRACE_BACKUP_PHYSICAL_COMPRESS:-zst}" \
      "process-max=$JOBS" "start-fast=y" "lock-path=$physical/lock" "spool-path=$physical/spool" "[headrace]" "pg1-path=$1" "pg1-port=${PGPORT:-5432}"
    [ -z "${PGUSER:-}" ] || echo "pg1-user=$PGUSER"
    [ -z "${PGDATABASE:-}" ] || echo "pg1-database=$PGDATABASE"
    [[ ${PGHOST:-} != /* ]] || echo "pg1-socket-path=$PGHOST"
  } | as_server tee "$(repository_conf).new" >/dev/null
  as_server chmod 600 "$(repository_conf).new"
  as_server mv "$(repository_conf).new" "$(repository_conf)"
}

# need_archiving: the server has to be able to archive; a changed archive_mode takes a restart.
need_archiving() {
  local is level
  IFS='|' read -r is level < <(sql -c "select current_setting('archive_mode'), current_setting('wal_level')")
  [[ $is = off || $level = minimal ]] || return 0
  sql -c "alter system set archive_mode = on" -c "alter system set wal_level = '${level/minimal/replica}'"
  die "$EXIT_RESTART" "the server has to be restarted before its WAL can be archived: archive_mode was set to on" "Restart it, then call this again. Until then nothing is archived, and nothing piles up."
}

# take_archiving: makes pgBackRest the server's archive_command. Another one is not replaced without --force.
take_archiving() {
  local now ours conf
  conf=$(repository_conf)
  [[ $conf != *' '* ]] || conf="'$conf'"
  ours="pgbackrest --config=$conf --stanza=headrace archive-push \"%p\""
  now=$(sql -c "show archive_command")
  [ "$now" != "$ours" ] || return 0
  [[ $now = '' || $now = '(disabled)' || $now = /bin/true || -n $FORCE ]] \
    || die "$EXIT_REFUSED" "the server archives its WAL already, by: $now" "Add --force to replace that, or back it up by what is there."
  sql -v ours="$ours" <<<"alter system set archive_command = :'ours';" || die "$EXIT_FAILED" "archive_command could not be set" "The role has to be a superuser."
  sql -c "alter system set archive_timeout = '${HEADRACE_BACKUP_ARCHIVE_TIMEOUT:-5min}'" -c "select pg_reload_conf()" >/dev/null
  log "WAL is archived from now on"
}

# choose_type TYPE: auto means a full backup each week, incremental ones in between.
choose_type() {
  local last
  TYPE=$1
  [ "$TYPE" = auto ] || return 0
  last=$(newest_sets | grep -E 'F$' | tail -n 1) || true
  TYPE=incr
  [[ -n $last && $(date -u -d "7 days ago" +%Y%m%d) < ${last%%-*} ]] || TYPE=full
}

# newest_sets: names of pgBackRest's backups, the newest last.
newest_sets() {
  [ -e "$(repository_conf)" ] || return 0
  as_server pgbackrest --config="$(repository_conf)" --stanza=headrace --log-level-console=off --log-level-file=off info 2>/dev/null </dev/null \
    | sed -nE 's/^ +(full|diff|incr) backup: (.*)$/\2/p'
}

back_up_physically() {
  local data
  lock_place
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/headrace-backup-XXXXXX")
  CLEAN_UP=clean_up_physically
  ends
  reach
  open_entry physical
  if [ -z "$BASEBACKUP" ] && command -v pgbackrest >/dev/null; then
    data=$(sql -c "show data_directory") || die "$EXIT_FAILED" "the role may not see where the server's data is" "It has to be a superuser."
    own_data "$data"
    back_up_by_backrest "$data" "$1"
  else
    [ -n "$BASEBACKUP" ] || log "pgBackRest is not installed: pg_basebackup is used, without archived WAL and points in time"
    back_up_by_basebackup
  fi
}

clean_up_physically() { rm -rf "$WORK" ${PART:+"$PART"}; }

back_up_by_backrest() {
  local data=$1 began=$SECONDS name bytes=
  need_archiving
  write_repository_conf "$data"
  backrest stanza-create || backrest stanza-upgrade || die "$EXIT_FAILED" "pgBackRest cannot use its repository: $(backrest_said)" "$(grep -m 1 HINT "$WORK/err" || true)"
  take_archiving
  backrest check || die "$EXIT_FAILED" "the server's WAL does not reach the repository: $(backrest_said)" "The server's own log has what pgBackRest said."
  choose_type "$2"
  log "backing up $data ($TYPE)"
  watch size_of "$BACKUPS/physical"
  run backrest backup --type="$TYPE" || die "$EXIT_FAILED" "the backup failed: $(backrest_said)"
  end_watch
  name=$(newest_sets | tail -n 1)
  [ -n "${HEADRACE_BACKUP_S3_BUCKET:-}" ] || bytes=$(du -sb "$BACKUPS/physical/repository" | cut -f1)
  close_entry succeeded "$TYPE backup by pgBackRest in $((SECONDS - began)) s" "$bytes" "$name"
  log "done: $name${bytes:+, the repository has $(human "$bytes")}, in $((SECONDS - began)) s"
}

back_up_by_basebackup() {
  local name began=$SECONDS bytes old count=0
  mkdir -p "$BACKUPS/physical"
  rm -rf "$BACKUPS"/physical/.partial-*
  while name=base-$(date -u +%Y%m%dT%H%M%SZ); [ -e "$BACKUPS/physical/$name" ]; do sleep 0.2; done
  PART=$BACKUPS/physical/.partial-$name
  log "backing up the server to $BACKUPS/physical/$name"
  watch size_of "$PART"
  run pg_basebackup --pgdata="$PART" --format=plain --wal-method=stream --checkpoint=fast --manifest-checksums=SHA256 --no-password 2>"$WORK/err" \
    || die "$EXIT_FAILED" "the backup failed: $(grep -m 1 error "$WORK/err" || tail -n 1 "$WORK/err")" "The role needs REPLICATION, and pg_hba.conf has to let it in for replication."
  run pg_verifybackup --quiet "$PART" 2>"$WORK/err" || die "$EXIT_FAILED" "the backup is not what the server sent: $(head -n 1 "$WORK/err")"
  end_watch
  bytes=$(du -sb "$PART" | cut -f1)
  mv "$PART" "$BACKUPS/physical/$name"
  PART=
  sync "$BACKUPS/physical"
  close_entry succeeded "backup by pg_basebackup in $((SECONDS - began)) s, verified" "$bytes" "$name"
  log "done: $name, $(human "$bytes") in $((SECONDS - began)) s"
  for old in $(base_backups); do
    count=$((count + 1))
    [[ $count -gt $KEEP && ${old#base-} < $(date -u -d "$KEEP_DAYS days ago" +%Y%m%dT%H%M%SZ) ]] || continue
    log "deleting $old"
    mv "$BACKUPS/physical/$old" "$BACKUPS/physical/.partial-$old"
    rm -rf "$BACKUPS/physical/.partial-$old"
  done
}

# base_backups: those of pg_basebackup, the newest first.
base_backups() { find "$BACKUPS/physical" -mindepth 1 -maxdepth 1 -type d -name 'base-*' -printf '%f\n' 2>/dev/null | sort -r; }

list_physical() {
  local name
  if [ -e "$(repository_conf)" ]; then
    SERVER_USER=$(stat -c %U "$(repository_conf)")
    for name in $(newest_sets | tac); do printf '%-36s %-22s\n' "$name" "server (pgBackRest)"; done
  fi
  for name in $(base_backups); do printf '%-36s %-22s\n' "$name" "server (base)"; done
}
