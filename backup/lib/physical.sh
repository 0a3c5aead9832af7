# shellcheck shell=bash disable=SC2034,SC2153 # shared variables
list_physical() { :; }
back_up_physically() { die "$EXIT_FAILED" "not yet $FORCE$BASEBACKUP"; }
