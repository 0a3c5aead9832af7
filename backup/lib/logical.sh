# shellcheck shell=bash disable=SC2034,SC2153 # shared variables
# backup.sh logical: every layer in an archive of its own in pg_dump's directory format, all from one snapshot.

# await_copies: waits until no first copy waits and no run changes a mirror (etl.prepare_backup), however long that run takes.
await_copies() {
  local busy line said=
  while :; do
    busy=$(PGOPTIONS="${PGOPTIONS:-} -c lock_timeout=${LOCK_TIMEOUT}s" sql -c "select etl.prepare_backup()" 2>"$WORK/err") \
      || die "$EXIT_FAILED" "the warehouse could not be made ready: $(grep -m 1 ERROR "$WORK/err" || head -n 1 "$WORK/err")" "$(way_out_of "$WORK/err")"
    sed -n 's/^WARNING:  //p' "$WORK/err" | while IFS= read -r line; do log "$line"; done
    [ -n "$busy" ] || return 0
    [ "$said" = "$busy" ] || log "waiting for a run of $busy, which changes a mirror or copies a table for the first time"
    said=$busy
    sleep 1
  done
}

# hold_snapshot LAYERS: opens the session that holds the snapshot. What changed between the look and the lock is looked at anew.
hold_snapshot() {
  local tries
  for ((tries = 1; ; tries++)); do
    await_copies
    ! open_snapshot "$1" || return 0
    [ "$tries" -lt 5 ] || break
    grep -q 'does not exist' "$WORK/err" || [ -n "$(sql -c "select etl.prepare_backup()")" ] || break
  done
  die "$EXIT_FAILED" "no snapshot could be taken: $(grep -m 1 ERROR "$WORK/err" || head -n 1 "$WORK/err")" \
    "If a lock was not to be had within ${LOCK_TIMEOUT} s: a table is being changed; try again later, or raise HEADRACE_BACKUP_LOCK_TIMEOUT."
}

# open_snapshot LAYERS: locks the tables against TRUNCATE and rewriting, which older snapshots do not survive, before the snapshot
# is taken; runs need no such lock. Sets SNAPSHOT and reads from HOLD.
open_snapshot() {
  local locks
  locks=$(sql -c "select format('lock table %s in access share mode;', string_agg(t.relation::text, ', ')) from etl.backup_tables(string_to_array('$1', ' ')) t")
  coproc HOLD { exec psql -XAtq -v ON_ERROR_STOP=1 2>"$WORK/err"; }
  HOLDER=$HOLD_PID
  exec {FROM_HOLD}<&"${HOLD[0]}" {TO_HOLD}>&"${HOLD[1]}"
  cat >&"$TO_HOLD" <<SQL
set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = '${LOCK_TIMEOUT}s';
begin isolation level repeatable read read only;
$locks
select pg_export_snapshot();
SQL
  SNAPSHOT=
  read -r -u "$FROM_HOLD" SNAPSHOT || true
  [ -z "$SNAPSHOT" ] || return 0
  exec {FROM_HOLD}<&- {TO_HOLD}>&-
  wait "$HOLDER" || true
  HOLDER=
  return 1
}

# ask_manifest LAYERS: has the holding session work out the manifest while the dumps go on.
ask_manifest() {
  printf "select jsonb_pretty(etl.backup_manifest(string_to_array('%s', ' ')) || jsonb_build_object('pg_dump', '%s', 'compression', '%s'));\n" \
    "$1" "$DUMP_VERSION" "$COMPRESSION" >&"$TO_HOLD"
}

# write_manifest: takes it and ends the session, with which the snapshot goes.
write_manifest() {
  printf '%s\n' 'commit;' '\q' >&"$TO_HOLD"
  cat <&"$FROM_HOLD" >"$PART/manifest.json"
  exec {FROM_HOLD}<&- {TO_HOLD}>&-
  wait "$HOLDER" || die "$EXIT_FAILED" "the manifest could not be made: $(grep -m 1 ERROR "$WORK/err" || head -n 1 "$WORK/err")"
  HOLDER=
  grep -q '^}$' "$PART/manifest.json" || die "$EXIT_FAILED" "the manifest is not complete"
}

# choose_compression: zstd where pg_dump has it (PostgreSQL 16), else gzip. Sets COMPRESSION.
choose_compression() {
  COMPRESSION=${HEADRACE_BACKUP_COMPRESS:-auto}
  [ "$COMPRESSION" = auto ] || return 0
  COMPRESSION=6
  if [ "$DUMP_VERSION" -ge 16 ]; then
    COMPRESSION=gzip:6
    ! pg_dump --format=custom --schema-only --table=etl.warehouse --compress=zstd:3 --file=/dev/null 2>/dev/null || COMPRESSION=zstd:3
  fi
}

# dump LAYER: as pg_read_all_data, who may read every row but is not shown the passwords of user mappings.
dump() {
  local options=() schema
  if [ "$1" = base ]; then
    for schema in mrr stg dwh etl cron; do options+=(--exclude-table-data="$schema.*"); done
  else
    options=(--schema="$1")
  fi
  run pg_dump --format=directory --jobs="$JOBS" --compress="$COMPRESSION" --snapshot="$SNAPSHOT" --role=pg_read_all_data \
    --lock-wait-timeout="${LOCK_TIMEOUT}s" "${options[@]}" --file="$PART/$1" 2>"$WORK/err" \
    || die "$EXIT_FAILED" "$1 could not be dumped: $(grep -m 1 -E 'error|fatal' "$WORK/err" || tail -n 1 "$WORK/err")" "$(way_out_of "$WORK/err")"
  log "$1: $(human "$(du -sb "$PART/$1" | cut -f1)")"
}

way_out_of() {
  if grep -q 'No space left' "$1"; then
    echo "Free some space in $BACKUPS, or keep fewer (HEADRACE_BACKUP_KEEP)."
  elif grep -q 'could not obtain lock\|lock timeout' "$1"; then
    echo "A table was about to be changed (a new column at the source, a deployment). Nothing was harmed: try again."
  fi
}

clean_up_logically() {
  rm -rf "$WORK"
  [ -n "${PART:-}" ] || return 0
  [ -z "${HOLDER:-}" ] || kill "$HOLDER" 2>/dev/null || true
  rm -rf "$PART" "$PART.sums"
}

# back_up_logically SCOPE
back_up_logically() {
  local layers name bytes began=$SECONDS layer
  if [ "$1" = all ]; then layers=${LAYERS[*]}; else layers="base $1"; fi
  lock_place
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/headrace-backup-XXXXXX") # not in BACKUPS, whose disk may be full
  CLEAN_UP=clean_up_logically
  ends
  reach
  mkdir -p "$BACKUPS/logical"
  sweep
  while name=$(date -u +%Y%m%dT%H%M%SZ)-$1; [ -e "$BACKUPS/logical/$name" ]; do sleep 0.2; done
  PART=$BACKUPS/logical/.partial-$name
  open_entry logical "$name"
  log "backing up $layers of database ${PGDATABASE:-} to $BACKUPS/logical/$name"
  mkdir "$PART"
  watch size_of "$PART"
  choose_compression
  hold_snapshot "$layers"
  ask_manifest "$layers"
  for layer in $layers; do dump "$layer"; done
  run pg_dumpall --roles-only --no-role-passwords --database="${PGDATABASE:-postgres}" --file="$PART/roles.sql" 2>"$WORK/err" \
    || die "$EXIT_FAILED" "the roles could not be dumped: $(head -n 1 "$WORK/err")"
  write_manifest
  log "manifest: $(grep -c '"digest"' "$PART/manifest.json") tables, rows and checksums"
  seal "$PART"
  end_watch
  mv "$PART" "$BACKUPS/logical/$name"
  PART=
  sync "$BACKUPS/logical"
  bytes=$(du -sb "$BACKUPS/logical/$name" | cut -f1)
  close_entry succeeded "$layers in $((SECONDS - began)) s" "$bytes"
  log "done: $name, $(human "$bytes") in $((SECONDS - began)) s"
  prune
}

# list_backups: name, layers, newest published batch, size and what a verification said.
list_backups() {
  local name
  printf '%-24s %-22s %10s %10s  %s\n' backup layers batch size state
  for name in $(backups); do
    printf '%-24s %-22s %10s %10s  %s\n' "$name" "$(manifest "$name" layers)" "$(manifest "$name" batch)" \
      "$(human "$(du -sb "$BACKUPS/logical/$name" | cut -f1)")" "$(cat "$BACKUPS/logical/$name.bad" 2>/dev/null || true)"
  done
  list_physical
}
