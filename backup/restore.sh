#!/usr/bin/env bash
# Restores a Headrace warehouse from a backup of backup.sh, and leaves it such that the next run brings it level with its source.
#
#   restore.sh all                     everything, from the newest logical backup
#   restore.sh mrr|stg|dwh|etl         a layer
#   restore.sh SCHEMA.TABLE            a table
#   restore.sh physical                the whole server, to the end of its archived WAL
#
#   --from NAME       this backup (backup.sh list) instead of the newest; for physical, a set of pgBackRest
#   --at MOMENT       the state at a moment, as in '2026-03-01 14:00+00': logical: the newest backup not after it; physical:
#                     point in time
#   --batch N         the state in which batch N is published: logical: the newest backup not beyond it; physical: the end of
#                     the run that published it, which the warehouse is asked for
#   --into URL        into this database instead of WAREHOUSE_DSN; it is made if it is missing. Beside its origin it gets an id,
#                     slots and jobs of its own. Passwords of sources are taken over from the origin if that answers, else
#                     from HEADRACE_SOURCE_PASSWORD
#   --directory DIR   physical: into this data directory (of the server's own user), which is made, beside the origin
#   --port N          physical, with --directory: the port that the restored server listens on
#   --keep-identity   the origin is gone and this takes its place: its id, slots and jobs' names stay
#   --force           overwrite what is there
#   --dry-run         say what would be done, and do nothing
#   --help            this text
#
# Without --force nothing that exists is overwritten. A restore into a warehouse that exists is one transaction: it waits for
# runs, readers see the old rows until its end (while everything is replaced, they wait), and if it fails nothing was changed.
#
# Exit codes: 0 done; 1 failed; 2 wrong use or setting; 3 refused without --force; 4 the backup is not as it was written;
#   5 another one is at work.
set -euo pipefail
PROGRAM=restore
HERE=$(dirname "$(readlink -f "$0")")
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/store.sh
. "$HERE/lib/store.sh"
# shellcheck source=lib/restore_logical.sh
. "$HERE/lib/restore_logical.sh"
# shellcheck source=lib/restore_part.sh
. "$HERE/lib/restore_part.sh"
# shellcheck source=lib/server.sh
. "$HERE/lib/server.sh"
# shellcheck source=lib/physical.sh
. "$HERE/lib/physical.sh"
# shellcheck source=lib/restore_physical.sh
. "$HERE/lib/restore_physical.sh"

FROM='' AT='' BATCH='' INTO='' DIRECTORY='' PORT='' IDENTITY=auto FORCE='' DRY='' WHAT=''
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) help; exit 0 ;;
    --force) FORCE=1 ;;
    --dry-run) DRY=1 ;;
    --keep-identity) IDENTITY=keep ;;
    --from | --at | --batch | --into | --directory | --port)
      [ -n "${2:-}" ] || die "$EXIT_USAGE" "$1 needs a value" "restore.sh --help"
      name=${1#--}
      printf -v "${name^^}" '%s' "$2"
      shift
      ;;
    -*) die "$EXIT_USAGE" "unknown option $1" "restore.sh --help" ;;
    *)
      [ -z "$WHAT" ] || die "$EXIT_USAGE" "restore one thing at a time, not $WHAT and $1" "restore.sh --help"
      WHAT=$1
      ;;
  esac
  shift
done
[ -n "$WHAT" ] || { help >&2; exit "$EXIT_USAGE"; }
[[ -z $AT || -z $BATCH ]] || die "$EXIT_USAGE" "--at and --batch exclude each other"
[[ -z $BATCH || $BATCH =~ ^[0-9]+$ ]] || die "$EXIT_USAGE" "--batch takes the number of a batch, not $BATCH"
load_settings
case $WHAT in
  all | mrr | stg | dwh | etl | *.*) restore_logically ;;
  physical) restore_physically ;;
  *) die "$EXIT_USAGE" "there is no layer $WHAT" "It is all, mrr, stg, dwh, etl, a table as schema.table, or physical." ;;
esac
