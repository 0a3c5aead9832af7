-- Contract: of an error's or a run's message, what the policy of etl.settings.reader_samples lets a reader see. PostgreSQL puts a
-- row's value into a message after a colon and in quotes, as in: invalid input syntax for type integer: "x".
-- That value is three dots unless the policy is rows.
create or replace function etl.shown_message(p_message text, p_policy text)
returns text
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case when p_policy = 'rows' then p_message else regexp_replace(p_message, ': ".*"', ': "…"') end
$$;

comment on function etl.shown_message(text, text) is
  'What a reader may see of the message p_message by the policy p_policy of etl.settings.reader_samples. Internal; in views that headrace_reader reads.';
revoke all on function etl.shown_message(text, text) from public;
grant execute on function etl.shown_message(text, text) to headrace_reader;
