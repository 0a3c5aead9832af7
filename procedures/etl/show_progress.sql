-- Contract: shows other sessions what this one works on, at once and from inside an open transaction: application_name
-- is the only place that does. etl.progress reads it. Fields: run, phase (c, p, m or f), table or step number, rows or steps
-- done, total (0 unknown), start of the step in epoch seconds.
create or replace function etl.show_progress(
  p_run_id bigint, p_phase text, p_number integer, p_done bigint, p_total bigint, p_since timestamptz)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  select set_config('application_name', format('headrace %s %s%s %s %s %s', p_run_id, p_phase, p_number, p_done,
                                               coalesce(p_total, 0), floor(extract(epoch from p_since))::bigint), false)
$$;

comment on function etl.show_progress(bigint, text, integer, bigint, bigint, timestamptz) is
  'Shows a run''s place in application_name, where etl.progress reads it. p_phase c: capture of table p_number, in rows; p: publish, step p_number, in steps; m or f: the index of the mirror of table p_number, or of the facts of step p_number. Internal.';
revoke all on function etl.show_progress(bigint, text, integer, bigint, bigint, timestamptz) from public;
