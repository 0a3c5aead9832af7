#!/usr/bin/env bash
# Backs up a Headrace warehouse.
#
#   backup.sh logical [all|mrr|stg|dwh|etl]   dump layers, all from one snapshot, by pg_dump; runs go on meanwhile
#   backup.sh physical [full|incr|auto]       back up the whole server and archive its WAL, by pgBackRest, or by
#                                             pg_basebackup where that is absent; auto makes a full one each week
#   backup.sh list                            what is there
#
#   --help         this text
#   --force        physical: take over from another archive_command
#   --basebackup   physical: pg_basebackup although pgBackRest is installed
#
# Settings come from the environment, or from the file that HEADRACE_BACKUP_CONF names (/etc/headrace/backup.conf);
# headrace-backup.conf.example has all of them. The warehouse is WAREHOUSE_DSN, or libpq's PGHOST, PGSERVICE and so on;
# its password comes from there, PGPASSWORD or ~/.pgpass, and is never shown. docs/backup.md tells the rest.
#
# Exit codes: 0 done; 1 failed, nothing half done is left; 2 wrong use or setting; 3 refused without --force;
#   5 another one is at work; 6 the server has to be restarted first.
set -euo pipefail
PROGRAM=backup
HERE=$(dirname "$(readlink -f "$0")")
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/store.sh
. "$HERE/lib/store.sh"
# shellcheck source=lib/logical.sh
. "$HERE/lib/logical.sh"
# shellcheck source=lib/server.sh
. "$HERE/lib/server.sh"
# shellcheck source=lib/physical.sh
. "$HERE/lib/physical.sh"

FORCE='' BASEBACKUP='' words=()
for word in "$@"; do
  case $word in
    --help | -h) help; exit 0 ;;
    --force) FORCE=1 ;;
    --basebackup) BASEBACKUP=1 ;;
    -*) die "$EXIT_USAGE" "unknown option $word" "backup.sh --help" ;;
    *) words+=("$word") ;;
  esac
done
[ ${#words[@]} -le 2 ] || die "$EXIT_USAGE" "too many words: ${words[*]}" "backup.sh --help"
load_settings
case ${words[0]:-} in
  logical)
    scope=${words[1]:-all}
    [[ $scope =~ ^(all|mrr|stg|dwh|etl)$ ]] || die "$EXIT_USAGE" "there is no layer $scope" "It is all, mrr, stg, dwh or etl."
    back_up_logically "$scope"
    ;;
  physical)
    type=${words[1]:-auto}
    [[ $type =~ ^(full|incr|auto)$ ]] || die "$EXIT_USAGE" "there is no physical backup of type $type" "It is full, incr or auto."
    back_up_physically "$type"
    ;;
  list) list_backups ;;
  '') help >&2; exit "$EXIT_USAGE" ;;
  *) die "$EXIT_USAGE" "unknown: ${words[0]}" "backup.sh --help" ;;
esac
