"""Sources over other foreign data wrappers."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0009"
down_revision = "0004"
branch_labels = None
depends_on = None

UPGRADE = r"""
alter table etl.source add column fdw text default 'postgres_fdw' not null;
comment on column etl.source.fdw is 'Foreign data wrapper that it is read with; postgres_fdw stands for dblink too.';
alter table etl.batch_source
    alter column snapshot drop not null,
    alter column lsn drop not null;
comment on column etl.batch_source.captured_at is 'The source''s clock when its snapshot was taken; the warehouse''s for a source other than PostgreSQL.';
comment on column etl.batch_source.snapshot is 'pg_current_snapshot() of the reading transaction at the source; null for a source other than PostgreSQL.';
drop procedure if exists etl.add_table(text, text, text, text, text[], text, text[], text[], jsonb, boolean, text, text, text, interval);
"""

DOWNGRADE = r"""
delete from etl.batch_source where snapshot is null or lsn is null;
alter table etl.batch_source
    alter column snapshot set not null,
    alter column lsn set not null;
alter table etl.source drop column fdw cascade;
"""


def upgrade() -> None:
    """Remember each source's wrapper, and batches of sources that have no snapshot to tell."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Know sources over postgres_fdw only."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
