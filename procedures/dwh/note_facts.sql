-- Contract: the statement that adds the rows p_rows of a fact to dwh.facts_by_day, or with p_sign -1 takes them away: how many they are, and
-- the sums of its measures, by day. p_rows has captured_on and the measures. It returns nothing and may stand in a WITH.
-- Invariant: sums are exact, so what was added can be taken away again. What is no finite number counts as nothing.
create or replace function dwh.note_facts(p_fact etl.fact, p_rows text, p_sign integer)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format(
    'insert into dwh.facts_by_day as t (fact, captured_on, measure, total)'
    ' select %L, d.captured_on, m.measure, %s * m.total'
    ' from (select r.captured_on, count(*)::numeric as lines%s from %s r group by 1) d'
    ' cross join lateral (values ('''', d.lines)%s) m (measure, total)'
    ' on conflict (fact, captured_on, measure) do update set total = t.total + excluded.total',
    (p_fact).fact, p_sign,
    (select string_agg(format(', coalesce(sum(r.%1$I::numeric) filter (where abs(r.%1$I::numeric) < ''infinity''), 0) as m%2$s', m.name, m.position), '')
     from unnest((p_fact).measures) with ordinality m (name, position)),
    p_rows,
    (select string_agg(format(', (%L, d.m%s)', m.name, m.position), '') from unnest((p_fact).measures) with ordinality m (name, position)))
$$;

comment on function dwh.note_facts(etl.fact, text, integer) is
  'The statement that adds rows of a fact to dwh.facts_by_day, or takes them away (p_sign -1). Internal.';
revoke all on function dwh.note_facts(etl.fact, text, integer) from public;
