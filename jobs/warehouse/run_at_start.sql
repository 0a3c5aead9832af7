-- When the server has started: every pipeline in turn, so that nobody waits for the next minute.
select '@reboot' as schedule, 'call etl.run()' as command, 'headrace_runner' as username
