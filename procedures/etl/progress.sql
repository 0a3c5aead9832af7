-- requires: etl.lock_class
-- Contract: one row per run at work, read from application_name, which is visible while its transaction is still open. What
-- processes that share the work of a capture have done is in advisory locks (etl.show_share); those that still work stand for all.
create or replace view etl.progress as
select
  p.run_id,
  r.pipeline,
  case p.phase when 'c' then 'capture' else 'publish' end as phase,
  case p.phase when 'm' then 'index mrr.' || t.mirror when 'f' then 'index ' || s.target else coalesce(t.mirror, s.step) end as step,
  case when p.phase = 'c' then coalesce((h.share * p.total)::bigint, p.done) end as rows_done,
  case when p.phase = 'c' then nullif(p.total, 0) end as rows_total,
  round(coalesce(h.share, least(p.done::numeric / nullif(p.total, 0), 1)), 3) as share,
  p.since,
  p.pid
from (
  select
    a.pid,
    m[1]::bigint as run_id,
    m[2] as phase,
    m[3]::integer as number,
    m[4]::bigint as done,
    m[5]::bigint as total,
    to_timestamp(m[6]::bigint) as since
  from pg_stat_activity a
  cross join lateral regexp_match(a.application_name, '^headrace (\d{1,18}) ([cpmf])(\d{1,9}) (\d{1,18}) (\d{1,18}) (\d{1,12})$') m
  where a.datname = current_database() and m is not null
) p
join etl.run_log r on r.run_id = p.run_id and r.status = 'running' and r.backend_pid = p.pid
left join etl.source_table t on p.phase in ('c', 'm') and t.source_table_id = p.number
left join etl.step s on p.phase in ('p', 'f') and s.step_id = p.number
left join lateral (
  select avg(part.percent) / 100 as share
  from (
    select max(l.objid::bigint & 127) as percent
    from pg_locks l
    where l.locktype = 'advisory' and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.classid::bigint = etl.lock_class() + 1 and l.objsubid = 2 and l.objid::bigint >> 12 = p.run_id & 65535
    group by l.objid::bigint >> 7) part
) h on p.phase = 'c' and p.done = 0;

comment on view etl.progress is 'What each running run is doing now: phase, table or step, rows so far or share done, and since when. For headrace_monitor.';
comment on column etl.progress.run_id is 'Run.';
comment on column etl.progress.pipeline is 'Pipeline.';
comment on column etl.progress.phase is 'capture or publish.';
comment on column etl.progress.step is 'Mirror being captured, step being published, or table whose index is being made.';
comment on column etl.progress.rows_done is 'Rows read so far; null in the publish phase.';
comment on column etl.progress.rows_total is 'Rows that the source expects to have; null where it is unknown.';
comment on column etl.progress.share is 'Share done, 0 to 1: of the table''s rows while capturing, of the steps while publishing; null where it is unknown.';
comment on column etl.progress.since is 'When this table or step began.';
comment on column etl.progress.pid is 'Backend that works on it.';
revoke all on etl.progress from public;
grant select on etl.progress to headrace_monitor;
