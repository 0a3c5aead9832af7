-- Every minute: every pipeline in turn that has no job of its own. One still at work is skipped, and the log says so.
select '* * * * *' as schedule, 'call etl.run()' as command, 'headrace_runner' as username;
