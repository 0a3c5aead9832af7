"""A first load looks for unknown customers and products in what it has written, and shares the making of its indexes."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# What mrr.settle_copies() calls, etl.share_index() among it, stays for revision 0008, which calls that when it goes.
DOWNGRADE = """
drop function if exists dwh.count_sales(bigint, boolean);
drop function if exists dwh.complete_sales_partition(text, bigint, bigint, bigint);
drop function if exists etl.lower_work_mem(bigint);
drop function if exists dwh.add_inferred_members(text, text, bigint, regclass);
"""


def upgrade() -> None:
    """Change nothing but functions, which every deployment brings."""


def downgrade() -> None:
    """Drop what only this revision has."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
