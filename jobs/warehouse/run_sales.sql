-- A loop of a minute, every minute: a sale is in dwh within seconds. It runs when the source's log has something for the
-- pipeline, so the run log has no line for a look that found nothing; a pipeline not captured by log runs once a minute.
-- A job of its own besides run.sql, because a loop must neither wait for other pipelines nor be found at work by them.
select '* * * * *' as schedule, 'call etl.run_loop(''sales'')' as command, 'headrace_runner' as username;
