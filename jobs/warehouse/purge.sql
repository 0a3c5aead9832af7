-- Every night: the log keeps what etl.settings says. Run by headrace_runner, whose rows of cron.job_run_details these are.
select '41 3 * * *' as schedule, 'call etl.purge()' as command, 'headrace_runner' as username;
