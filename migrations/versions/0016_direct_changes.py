"""New rows of tables without a key that go from the log straight into the change set."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UPGRADE = """
drop function if exists mrr.collect_changes(etl.source_table);
"""

DOWNGRADE = """
drop function if exists mrr.collect_changes(etl.source_table, bigint);
drop function if exists mrr.typed_list(etl.source_table, text[], text);
drop function if exists mrr.count_kinds();
"""


def upgrade() -> None:
    """Make room for the routine's new parameter."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop what only this revision has."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
