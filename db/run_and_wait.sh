#!/bin/sh
# Runs a pipeline and waits for its outcome, for schedulers that have to know it:
#
#   run_and_wait.sh URL PIPELINE [SECONDS]
#
# URL is that of headrace_runner; the password comes from PGPASSWORD or ~/.pgpass. A run that is skipped, since another one
# is at work or the pipeline is paused or backing off, is tried again, ever more slowly, for so many seconds (600). What the run says
# goes to standard error. Exit codes: 0 it succeeded; 3 it failed; 2 no connection; 64 wrong use; 75 skipped until the time was up.
set -eu
case ${3-600} in '' | *[!0-9]*) set -- ;; esac
[ $# -ge 2 ] || { sed -n '2,8p' "$0" | cut -c3- >&2; exit 64; }
until=$(($(date +%s) + ${3:-600}))
pause=1
while :; do
  status=0
  said=$(printf '%s\n' "call etl.run(:'pipeline');" |
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set "pipeline=$2" "$1" 2>&1) || status=$?
  printf '%s\n' "$said" >&2
  [ "$status" = 0 ] || exit "$status"
  case $said in
    *": run "[0-9]*" skipped: "*) [ "$(date +%s)" -lt "$until" ] || exit 75 ;;
    *) exit 0 ;;
  esac
  sleep "$pause"
  [ "$pause" -ge 5 ] || pause=$((pause + 1)) # each try is in the log
done
