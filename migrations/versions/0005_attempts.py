"""Attempts of making a slot."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UPGRADE = r"""
drop function if exists etl.prepare_slots(text, bigint);
"""

DOWNGRADE = r"""
drop function if exists etl.prepare_slots(text, bigint, etl.outcome);
"""


def upgrade() -> None:
    """Take away what has another signature now."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Take the new one away."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
