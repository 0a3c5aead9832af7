-- When the server has started: the loop of run_sales.sql, so that nobody waits for the next minute.
select '@reboot' as schedule, 'call etl.run_loop(''sales'')' as command, 'headrace_runner' as username;
