-- etl.next_tick(schedule, after): when a pg_cron schedule starts its job next, in GMT, pg_cron's default cron.timezone.
--
-- Contract: the first whole minute later than `after` that the five fields let through; null for what never happens
-- (30 February, @reboot) and for what is no schedule, so that a view over cron.job cannot fail on it: pg_cron itself
-- refuses a bad schedule. 'N seconds' is N seconds after `after`.
-- Day rule of Vixie cron and pg_cron: where day of month or day of week begins with *, a day must match both fields;
-- where neither does, one of them is enough.
-- Invariant: reads no table and no clock. Looks 40 years ahead, the longest way from one 29 February to the next on the
-- same day of the week; 4 suffice where every month counts. jit is off because compiling took 0.8 s, running 3 ms.
-- pg_cron (1.6.7 at least) accepts @yearly and never runs it; here it means what it says.
create or replace function etl.next_tick(schedule text, after timestamptz default statement_timestamp())
returns timestamptz
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
with written as (
  select regexp_replace(regexp_replace(btrim(lower(schedule), E' \t\n'), '\s+', ' ', 'g'), '\m0+(?=\d)', '', 'g') as words
),
expression as (
  select coalesce(alias.fields, written.words) as fields
  from written
  left join (
    values
      ('@hourly', '0 * * * *'), ('@daily', '0 0 * * *'), ('@midnight', '0 0 * * *'), ('@weekly', '0 0 * * 0'),
      ('@monthly', '0 0 1 * *'), ('@yearly', '0 0 1 1 *'), ('@annually', '0 0 1 1 *')
  ) as alias (word, fields) on alias.word = written.words
),
field (field, low, high, names) as (
  values
    (1, 0, 59, '{}'::text[]),
    (2, 0, 23, '{}'),
    (3, 1, 31, '{}'),
    (4, 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'),
    (5, 0, 7, '{sun,mon,tue,wed,thu,fri,sat}')
),
-- Every word that stands for a value; $, the last day of the month, is day 32.
element (field, word, value) as (
  select field.field, word, value
  from field
  cross join generate_series(field.low, field.high) as value
  cross join unnest(array[value::text, field.names[value - field.low + 1]]) as word
  union all
  values (3, '$', 32)
),
item as (
  select
    field.field,
    split_part(replace(part, '*', concat(field.low, '-', field.high)), '/', 1) as span,
    coalesce(substring(part from '/(.*)')::int, 1) as step
  from expression
  cross join regexp_split_to_table(expression.fields, ' ') with ordinality as written (list, field)
  join field on field.field = written.field
  cross join regexp_split_to_table(written.list, ',') as part
  where expression.fields ~ format('^%1$s(,%1$s)*( %1$s(,%1$s)*){4}$', '((\*|\w+-\w+)(/[1-9]\d?)?|\w+|\$)')
),
allowed as (
  select item.field, array_agg(distinct member) as values
  from item
  left join element as first on first.field = item.field and first.word = split_part(item.span, '-', 1)
  left join element as last on last.field = item.field and last.word = substring(item.span from '[^-]+$')
  left join generate_series(first.value, last.value, item.step) as member on true
  group by item.field
  having bool_and(member is not null)
),
rule as (
  select
    (select allowed.values from allowed where allowed.field = 1) as minutes,
    (select allowed.values from allowed where allowed.field = 2) as hours,
    (select allowed.values from allowed where allowed.field = 3) as days,
    (select allowed.values from allowed where allowed.field = 4) as months,
    (select allowed.values from allowed where allowed.field = 5) as weekdays,
    expression.fields ~ '^\S+ \S+ (\*|\S+ \S+ \*)' as both_needed,
    after at time zone 'GMT' as after
  from expression
  where isfinite(after)
),
day as (
  select day
  from rule
  cross join generate_series(0, case cardinality(rule.months) when 12 then 4 else 40 end * 366) as ahead
  cross join cast(rule.after as date) as today
  cross join lateral (values (today + ahead)) as calendar (day)
  cross join lateral (
    values (
      extract(day from day)::int = any (rule.days) or (32 = any (rule.days) and extract(day from day + 1) = 1),
      extract(dow from day)::int = any (rule.weekdays) or extract(isodow from day)::int = any (rule.weekdays)
    )
  ) as fits (days, weekdays)
  where extract(month from day)::int = any (rule.months)
   and case when rule.both_needed then fits.days and fits.weekdays else fits.days or fits.weekdays end
  order by day
  limit 2
)
select min(tick.at) at time zone 'GMT'
from rule
cross join day
cross join unnest(rule.hours) as hour
cross join unnest(rule.minutes) as minute
cross join lateral (values (day.day + make_interval(hours => hour, mins => minute))) as tick (at)
where tick.at > rule.after
union all
select after + make_interval(secs => substring(written.words from '^([1-9]|[1-5]\d) ?seconds?$')::int)
from written
where isfinite(after)
order by 1
limit 1
$$;

comment on function etl.next_tick(text, timestamptz) is
  'When a pg_cron schedule starts its job next, in GMT. schedule: five cron fields (lists, ranges, steps, English names, $ for the last day of the month), @hourly and the like, or "N seconds" (1 to 59). after: the moment to look from, by default the start of the statement. Null for what never happens or is no schedule; no errors. Called by etl.status and dwh.metric_pipeline; for headrace_runner, headrace_monitor, headrace_reader.';
revoke all on function etl.next_tick(text, timestamptz) from public;
grant execute on function etl.next_tick(text, timestamptz) to headrace_runner, headrace_monitor, headrace_reader;
