-- Contract: facts that etl.add_fact() registered, by day: how many, and the sums of their measures. Those that a loading function of their
-- own loads are not kept count of, so they are left out.
create or replace view dwh.metric_fact as
select d.captured_on as day, d.fact, nullif(d.measure, '') as measure, d.total
from dwh.facts_by_day d
where exists (select from etl.step s where s.target = d.fact and s.routine = 'dwh.load_fact');

comment on view dwh.metric_fact is 'Facts of own models by day: rows, and sums of their measures. For headrace_reader.';
comment on column dwh.metric_fact.day is 'Day on which the facts were captured.';
comment on column dwh.metric_fact.fact is 'Table of the facts.';
comment on column dwh.metric_fact.measure is 'Column that is summed; null for the number of rows.';
comment on column dwh.metric_fact.total is 'The sum, or the number of rows.';
revoke all on dwh.metric_fact from public;
grant select on dwh.metric_fact to headrace_reader;
