-- requires: etl.shown_row
-- Contract: one row per mirror and reason, with up to five of the newest rows as etl.settings.reader_samples lets readers see
-- them. The sample is looked for among the thousand entries before the newest one, so that it costs the same whatever waits.
create or replace view dwh.metric_quarantine as
select
  t.pipeline,
  q.mirror,
  q.reason,
  q.quarantined_rows,
  q.first_at,
  q.last_at,
  (
    select jsonb_agg(etl.shown_row(x.row_data, s.reader_samples) order by x.quarantine_id desc)
    from (
      select n.quarantine_id, n.row_data
      from stg.quarantine n
      where n.quarantine_id between q.newest - 999 and q.newest and n.mirror = q.mirror and n.reason = q.reason
      order by n.quarantine_id desc
      limit 5
    ) x
    where s.reader_samples <> 'none'
  ) as sample
from (
  select x.mirror, x.reason, count(*) as quarantined_rows, min(x.quarantined_at) as first_at, max(x.quarantined_at) as last_at,
         max(x.quarantine_id) as newest
  from stg.quarantine x
  group by x.mirror, x.reason
) q
cross join etl.settings s
left join etl.source_table t on t.mirror = q.mirror;

comment on view dwh.metric_quarantine is 'Quarantine by mirror and reason, with a sample. For headrace_reader.';
comment on column dwh.metric_quarantine.pipeline is 'Pipeline of the mirror.';
comment on column dwh.metric_quarantine.mirror is 'Mirror that the rows are in.';
comment on column dwh.metric_quarantine.reason is 'Why they were not let into dwh.';
comment on column dwh.metric_quarantine.quarantined_rows is 'How many wait.';
comment on column dwh.metric_quarantine.first_at is 'When the first of them was judged.';
comment on column dwh.metric_quarantine.last_at is 'When the last of them was judged.';
comment on column dwh.metric_quarantine.sample is 'Up to five of the newest, as etl.settings.reader_samples lets readers see them; null where it lets them see none.';
revoke all on dwh.metric_quarantine from public;
grant select on dwh.metric_quarantine to headrace_reader;
