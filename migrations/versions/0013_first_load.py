"""Faster first loads and captures: drops of routines that took other arguments before."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UPGRADE = r"""
drop function if exists dwh.make_partition(text, date);
drop function if exists dwh.fill_sales_partition(bigint, text, date, bigint);
drop function if exists dwh.insert_sales(bigint, bigint[]);
drop function if exists mrr.typed_changes(etl.source_table, text, text, text, boolean);
"""

DOWNGRADE = r"""
drop function if exists dwh.partition_name(text, date);
drop function if exists dwh.fill_sales_partition(bigint, date, bigint, bigint);
drop function if exists dwh.insert_sales(bigint, bigint[], bigint);
drop function if exists mrr.typed_changes(etl.source_table, text[], text, text, text, boolean);
"""


def upgrade() -> None:
    """Drop what the files of procedures/ no longer make."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop what the files of the revision before did not make."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
