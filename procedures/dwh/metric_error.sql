-- requires: etl.shown_message
-- Contract: one row per logged error. Detail is where PostgreSQL writes rows out, so readers see it only where
-- etl.settings.reader_samples is rows; hint and context hold code and names.
create or replace view dwh.metric_error as
select
  e.error_id,
  e.run_id,
  e.occurred_at,
  e.pipeline,
  e.step,
  e.routine,
  e.sqlstate,
  etl.shown_message(e.message, s.reader_samples) as message,
  case when s.reader_samples = 'rows' then e.detail end as detail,
  e.hint,
  e.context
from etl.procedure_errors e
cross join etl.settings s;

comment on view dwh.metric_error is 'Errors in the log, with their context. For headrace_reader.';
comment on column dwh.metric_error.error_id is 'Number of the error.';
comment on column dwh.metric_error.run_id is 'Run in which it happened, if in one.';
comment on column dwh.metric_error.occurred_at is 'When it was caught.';
comment on column dwh.metric_error.pipeline is 'Pipeline.';
comment on column dwh.metric_error.step is 'Step, mirror or routine that it happened in.';
comment on column dwh.metric_error.routine is 'Routine that caught it.';
comment on column dwh.metric_error.sqlstate is 'SQLSTATE.';
comment on column dwh.metric_error.message is 'Message, values as etl.settings.reader_samples lets readers see them.';
comment on column dwh.metric_error.detail is 'Detail, which may hold a row; null unless etl.settings.reader_samples is rows.';
comment on column dwh.metric_error.hint is 'Hint: what to do next.';
comment on column dwh.metric_error.context is 'Call stack.';
revoke all on dwh.metric_error from public;
grant select on dwh.metric_error to headrace_reader;
