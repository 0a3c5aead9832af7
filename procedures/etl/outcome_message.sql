-- Contract: how a run ended, in one line for the log: what failed and why, or how much was moved. For a connection that
-- failed the detail belongs to it, since the message alone does not say why.
create or replace function etl.outcome_message(p_run_id bigint, p_outcome etl.outcome)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when e.sqlstate is not null then
      format('%s: %s', e.step, e.message) || case when left(e.sqlstate, 2) in ('08', '28') and e.detail <> '' then format(' (%s)', e.detail) else '' end
    else
      case when r.dry_run then 'dry run, rolled back: ' else '' end
      || format('%s rows read, %s changes captured, %s published, %s rows quarantined', s.rows_read, s.rows_captured,
                case when r.dry_run then s.rows_captured else p.rows_published end, s.rows_quarantined)
    end
  from (select ((p_outcome).failure).*) e
  cross join (
    select coalesce(sum(x.rows_read) filter (where x.phase <> 'publish' and x.step <> 'read slot'), 0) as rows_read,
           coalesce(sum(x.rows_inserted + x.rows_updated + x.rows_deleted) filter (where x.phase = 'capture'), 0) as rows_captured,
           coalesce(sum(x.rows_quarantined), 0) as rows_quarantined
    from unnest((p_outcome).steps) x
    where x.status = 'succeeded'
  ) s
  cross join (
    select coalesce(sum(b.rows_changed), 0) as rows_published from etl.batch b where b.published_run_id = p_run_id
  ) p
  join etl.run_log r on r.run_id = p_run_id
$$;

comment on function etl.outcome_message(bigint, etl.outcome) is
  'How run p_run_id ended with p_outcome, in one line. Internal.';
revoke all on function etl.outcome_message(bigint, etl.outcome) from public;
