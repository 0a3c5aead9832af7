"""A faster most_popular_product(): products of several versions have an index, and their totals are updated in place."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# A change run updates nearly all lines of sales_by_product: half of each page holds their next versions, so that no index changes.
UPGRADE = r"""
do $$ begin create index dim_product_later_idx on dwh.dim_product (source, product_id) where batch_from > 0; end $$; -- by itself, for Citus
alter table if exists dwh.sales_by_product set (fillfactor = 50);
"""

DOWNGRADE = r"""
do $$ begin drop index if exists dwh.dim_product_later_idx; end $$;
alter table if exists dwh.sales_by_product reset (fillfactor);
"""


def upgrade() -> None:
    """Make the index, and leave room in the pages of the totals."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop it, and fill the pages again."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
