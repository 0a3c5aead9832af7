# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # shared variables
restore_physically() { die "$EXIT_FAILED" "not yet $PORT $DIRECTORY"; }
