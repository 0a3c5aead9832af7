-- Every minute: runs that take longer than their pipeline allows are canceled.
select '* * * * *' as schedule, 'call etl.cancel_overdue()' as command, 'headrace_runner' as username
