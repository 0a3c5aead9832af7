"""The indexes that a first load leaves out are steps of the run that makes them."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UPGRADE = """
drop function if exists dwh.make_place_index(text, bigint);
"""

# What mrr.settle_copies() calls stays for revision 0008, which calls that when it goes.
DOWNGRADE = """
drop function if exists etl.make_indexes(text, bigint, etl.outcome);
drop function if exists dwh.make_place_index(text);
"""


def upgrade() -> None:
    """Drop what another routine does now."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop what only this revision has."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
