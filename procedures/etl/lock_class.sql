-- Contract: the first number of the pipelines' advisory locks; the second is etl.pipeline.pipeline_id. The number after it is that of
-- etl.show_share(). Advisory locks belong to the database, so warehouses in one cluster do not meet.
create or replace function etl.lock_class()
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select 1212501074 $$;

comment on function etl.lock_class() is 'First number of the advisory locks of pipelines, the letters HEAR. For headrace_runner, through etl.cancel_overdue(), and headrace_monitor, through etl.progress.';
revoke all on function etl.lock_class() from public;
grant execute on function etl.lock_class() to headrace_runner, headrace_monitor;
