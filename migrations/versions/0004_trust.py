"""Checks, retries, timeouts and back-off."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UPGRADE = r"""
alter table etl.settings
    add column retry_attempts integer default 3 not null,
    add column retry_pause interval default '200 milliseconds'::interval not null,
    add column backoff_first interval default '30 seconds'::interval not null,
    add column backoff_longest interval default '15 minutes'::interval not null,
    add column quarantine_share numeric default 0.5 not null,
    add column quarantine_from integer default 1000 not null,
    add column check_sample integer default 20 not null,
    add constraint settings_check_sample_check check (check_sample between 0 and 1000),
    add constraint settings_quarantine_from_check check (quarantine_from > 0),
    add constraint settings_quarantine_share_check check (quarantine_share between 0 and 1),
    add constraint settings_retry_attempts_check check (retry_attempts between 0 and 20);
comment on column etl.settings.retry_attempts is 'How often a phase is tried again within a run after a serialization failure, deadlock or lock timeout.';
comment on column etl.settings.retry_pause is 'Mean pause before the first such attempt; doubled for each further one.';
comment on column etl.settings.backoff_first is 'Pause of a pipeline after its second failure in a row for want of connection or resources; doubled each time.';
comment on column etl.settings.backoff_longest is 'Longest such pause.';
comment on column etl.settings.quarantine_share is 'Share of a change set that one reason may send to quarantine; beyond it the publish stops.';
comment on column etl.settings.quarantine_from is 'Rows of a change set from which quarantine_share counts.';
comment on column etl.settings.check_sample is 'Offending rows of a check that the log keeps.';
alter table etl.pipeline
    add column run_timeout interval,
    add column step_timeout interval,
    add column failures integer default 0 not null,
    add column next_attempt_at timestamp with time zone;
comment on column etl.pipeline.run_timeout is 'A run that takes longer is canceled by etl.cancel_overdue(); null for no limit.';
comment on column etl.pipeline.step_timeout is 'A table or step that takes longer is canceled likewise; null for no limit.';
comment on column etl.pipeline.failures is 'Failures in a row for want of connection or resources.';
comment on column etl.pipeline.next_attempt_at is 'Until then runs are skipped, unless forced; null if nothing is wrong.';
create table etl.check_rule (
    check_id integer generated always as identity,
    pipeline text not null,
    check_name text not null,
    severity text not null,
    query text not null,
    enabled boolean default true not null,
    constraint check_rule_pkey primary key (check_id),
    constraint check_rule_pipeline_key unique (pipeline, check_name),
    constraint check_rule_severity_check check (severity in ('warn', 'error')),
    constraint check_rule_pipeline_fkey foreign key(pipeline) references etl.pipeline (pipeline) on delete cascade
);
comment on table etl.check_rule is 'Checks that a publish must pass before readers see it. Written by etl.add_check() and etl.remove_check().';
comment on column etl.check_rule.check_id is 'Number of the check.';
comment on column etl.check_rule.pipeline is 'Pipeline whose publishes it judges.';
comment on column etl.check_rule.check_name is 'Name of the check.';
comment on column etl.check_rule.severity is 'error stops the publish, warn only logs.';
comment on column etl.check_rule.query is 'Query that returns the offending rows; none means passed.';
comment on column etl.check_rule.enabled is 'False leaves it out.';
create table etl.check_log (
    check_log_id bigint generated always as identity,
    run_id bigint not null,
    check_name text not null,
    severity text not null,
    status text not null,
    first_batch bigint,
    last_batch bigint,
    rows_found bigint not null,
    sample jsonb,
    checked_at timestamp with time zone not null,
    constraint check_log_pkey primary key (check_log_id),
    constraint check_log_status_check check (status in ('passed', 'warned', 'failed')),
    constraint check_log_run_id_fkey foreign key(run_id) references etl.run_log (run_id) on delete cascade
);
comment on table etl.check_log is 'Outcome of every check of every publish; survives the rollback of a publish that it stopped.';
create index check_log_run_id_idx ON etl.check_log (run_id);
comment on column etl.check_log.check_log_id is 'Number of the entry.';
comment on column etl.check_log.run_id is 'Run that it was checked in.';
comment on column etl.check_log.check_name is 'Check.';
comment on column etl.check_log.severity is 'Its severity then.';
comment on column etl.check_log.status is 'passed, warned, or failed: the publish was stopped.';
comment on column etl.check_log.first_batch is 'First batch of the publish.';
comment on column etl.check_log.last_batch is 'Last batch of the publish.';
comment on column etl.check_log.rows_found is 'Offending rows.';
comment on column etl.check_log.sample is 'Some of them, at most etl.settings.check_sample.';
comment on column etl.check_log.checked_at is 'When it was checked.';
create type etl.check_report as (
    check_name text, severity text, status text, rows_found bigint, sample jsonb, checked_at timestamptz
);
comment on type etl.check_report is 'Outcome of one check on its way to the log.';
alter type etl.outcome add attribute attempt integer, add attribute checks etl.check_report[];
drop function if exists etl.begin_step(text, text, bigint);
drop function if exists stg.quarantine_unfit(etl.source_table, text, bigint);
grant select on etl.check_rule to headrace_monitor;
"""

DOWNGRADE = r"""
alter type etl.outcome drop attribute attempt, drop attribute checks;
drop type etl.check_report cascade;
drop table etl.check_log cascade;
drop table etl.check_rule cascade;
alter table etl.pipeline
    drop column run_timeout,
    drop column step_timeout,
    drop column failures cascade,
    drop column next_attempt_at cascade;
alter table etl.settings
    drop column retry_attempts,
    drop column retry_pause,
    drop column backoff_first,
    drop column backoff_longest,
    drop column quarantine_share,
    drop column quarantine_from,
    drop column check_sample;
"""


def upgrade() -> None:
    """Add what checks, retries, timeouts and back-off keep."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Leave them out."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
