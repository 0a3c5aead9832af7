-- Every night: each mirror that is captured by log is compared with its source; what differs is reported, not repaired.
select '17 3 * * *' as schedule, 'call etl.reconcile()' as command, 'headrace_runner' as username
