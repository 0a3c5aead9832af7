"""The log of backups, and what a restore leaves to the next run."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UPGRADE = r"""
create table etl.backup_log (
    backup_log_id bigint generated always as identity,
    kind text not null,
    status text default 'running' not null,
    backup text,
    place text not null,
    bytes bigint,
    started_by text default session_user not null,
    started_at timestamp with time zone default clock_timestamp() not null,
    finished_at timestamp with time zone,
    message text,
    constraint backup_log_pkey primary key (backup_log_id),
    constraint backup_log_kind_check check (kind in ('logical', 'physical', 'verify', 'restore')),
    constraint backup_log_status_check check (status in ('running', 'succeeded', 'failed', 'aborted')),
    constraint backup_log_finished_check check ((status = 'running') = (finished_at is null))
);
comment on table etl.backup_log is 'Backups, verifications and restores of this warehouse. Written by the scripts of backup/.';
create index backup_log_kind_idx ON etl.backup_log (kind, backup_log_id);
comment on column etl.backup_log.backup_log_id is 'Number of the entry.';
comment on column etl.backup_log.kind is 'logical, physical, verify or restore.';
comment on column etl.backup_log.status is 'running, succeeded, failed, or aborted: its script ended before it could say so.';
comment on column etl.backup_log.backup is 'Name of the backup.';
comment on column etl.backup_log.place is 'Host and directory or repository that it is in.';
comment on column etl.backup_log.bytes is 'Size of the backup.';
comment on column etl.backup_log.started_by is 'Role that the script connected as.';
comment on column etl.backup_log.started_at is 'When it began.';
comment on column etl.backup_log.finished_at is 'When it ended; null while it runs.';
comment on column etl.backup_log.message is 'The outcome in words.';
alter table etl.source_table add column needs_rebuild boolean default false not null;
comment on column etl.source_table.needs_rebuild is 'True until the next capture has compared the mirror and written all of it into the change set, after a part of the warehouse was restored.';
grant select on etl.backup_log to headrace_monitor;
"""

DOWNGRADE = r"""
alter table etl.source_table drop column needs_rebuild;
drop table etl.backup_log cascade;
"""


def upgrade() -> None:
    """Add what backups and restores keep."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Leave it out."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
