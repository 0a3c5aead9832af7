"""What the dashboard needs: how much of a row a reader of it may see."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UPGRADE = r"""
alter table etl.settings
    add column reader_samples text default 'masked'::text not null,
    add constraint settings_reader_samples_check check (reader_samples in ('none', 'masked', 'rows'));
comment on column etl.settings.reader_samples is 'What readers of dwh see of a quarantined row, of what a check found and of an error: none; masked: numbers, dates and nulls, no text; rows: all of it.';
create index check_log_check_name_idx on etl.check_log (check_name, check_log_id);
"""

DOWNGRADE = r"""
drop index etl.check_log_check_name_idx;
alter table etl.settings drop column reader_samples cascade;
"""


def upgrade() -> None:
    """Add the setting."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Leave it out."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
