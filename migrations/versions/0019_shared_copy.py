"""Several processes read the first copy of a large table without a key, and its facts take their numbers from it."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

UPGRADE = """
drop function if exists mrr.begin_copy(etl.source_table, bigint);
"""

DOWNGRADE = """
drop function if exists mrr.begin_copy(etl.source_table);
drop function if exists mrr.copy_slices(etl.source_table, bigint, bigint, bigint);
drop function if exists mrr.read_slice(text, text, text, text, bigint, bigint, bigint, bigint, bigint, boolean);
drop function if exists mrr.is_helper(integer);
drop function if exists mrr.slices_query(etl.source_table, bigint, text, integer, bigint, bigint);
drop function if exists mrr.privileges(regclass);
drop function if exists mrr.is_replaceable(regclass);
drop function if exists mrr.rows_query(etl.source_table, text, boolean, text);
drop function if exists mrr.answer_columns(etl.source_table, boolean);
drop function if exists etl.show_share(bigint, integer, bigint, bigint);
drop function if exists etl.describe_mirror(etl.source_table);
"""


def upgrade() -> None:
    """Drop what has another signature now."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop what only this revision has."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
