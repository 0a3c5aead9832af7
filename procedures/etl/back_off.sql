-- Contract: after a run that failed for want of a connection (class 08), of resources (53) or because a server was starting or
-- stopping (57P03), sets when the next may begin: the first failure is repeated with the next tick, further ones
-- after a pause that doubles from etl.settings.backoff_first to backoff_longest, with jitter. Any other end clears it.
create or replace function etl.back_off(p_pipeline text, p_sqlstate text)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  update etl.pipeline p
  set failures = case when f.counts then p.failures + 1 else 0 end,
      next_attempt_at = case when f.counts and p.failures > 0
                             then clock_timestamp() + least(s.backoff_first * 2 ^ least(p.failures - 1, 20), s.backoff_longest) * (0.75 + random() / 2) end
  from etl.settings s
  cross join (select coalesce(left(p_sqlstate, 2) in ('08', '53') or p_sqlstate = '57P03', false) as counts) f
  where p.pipeline = p_pipeline and (f.counts or p.failures > 0 or p.next_attempt_at is not null)
$$;

comment on function etl.back_off(text, text) is
  'Sets or clears a pipeline''s next_attempt_at after a run that ended with p_sqlstate (null: succeeded). Internal.';
revoke all on function etl.back_off(text, text) from public;
