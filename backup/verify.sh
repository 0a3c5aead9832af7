#!/usr/bin/env bash
# Proves the newest backup by restoring it: into a throw-away instance on this machine, where it is held against its
# manifest, the checks are run, and one ETL run is made, which reads the source. Nothing is written at the source.
#
#   verify.sh [logical|physical]
#
#   --from NAME   this backup instead of the newest
#   --no-run      without the ETL run
#   --help        this text
#
# Needs PostgreSQL's server programs of the warehouse's version, and room for the restored warehouse in TMPDIR. Run by
# root it uses the server's user (HEADRACE_BACKUP_USER: headrace, else postgres). Passwords of sources are taken over from the
# warehouse if that answers, else from HEADRACE_SOURCE_PASSWORD. The outcome is in etl.backups and in etl.status; a logical
# backup that is found bad is marked, and neither restored by default nor counted as one that is kept. One that is as it
# was written stays good, although a check or the run fails: then that is what the warehouse was like.
#
# Exit codes: 0 the backup is good; 1 it could not be tried; 2 wrong use or setting; 4 the backup is bad;
#   5 another one is at work; 7 the backup is good, but a check or the run of what was restored failed.
set -euo pipefail
PROGRAM=verify
HERE=$(dirname "$(readlink -f "$0")")
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/store.sh
. "$HERE/lib/store.sh"
# shellcheck source=lib/restore_logical.sh
. "$HERE/lib/restore_logical.sh"
# shellcheck source=lib/server.sh
. "$HERE/lib/server.sh"
# shellcheck source=lib/physical.sh
. "$HERE/lib/physical.sh"
# shellcheck source=lib/restore_physical.sh
. "$HERE/lib/restore_physical.sh"
# shellcheck source=lib/throwaway.sh
. "$HERE/lib/throwaway.sh"

FROM='' AT='' BATCH='' DRY='' IDENTITY=auto RUN=1 KIND=
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) help; exit 0 ;;
    --no-run) RUN='' ;;
    --from)
      [ -n "${2:-}" ] || die "$EXIT_USAGE" "$1 needs a value" "verify.sh --help"
      FROM=$2
      shift
      ;;
    logical | physical) KIND=$1 ;;
    *) die "$EXIT_USAGE" "unknown: $1" "verify.sh --help" ;;
  esac
  shift
done
load_settings
verify "${KIND:-logical}"
