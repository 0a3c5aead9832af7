"""Who may see which countries in the Power BI report."""

from __future__ import annotations

from migrations.script import AS_ADMIN, AS_OWNER, run

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UPGRADE = r"""
create table dwh.country_access (
    login text not null,
    country text not null,
    constraint country_access_pkey primary key (login, country)
);
comment on table dwh.country_access is 'Which countries a person may see in the Power BI report: its role Country reads it at each refresh. PostgreSQL itself does not.';
comment on column dwh.country_access.login is 'Name that the person signs in to Power BI with, such as ada@example.com.';
comment on column dwh.country_access.country is 'Country as the customers have it; (unknown) for customers without one.';
"""

DOWNGRADE = r"""
drop table dwh.country_access;
"""


def upgrade() -> None:
    """Make the table."""
    run(AS_OWNER)
    run(UPGRADE)
    run(AS_ADMIN)


def downgrade() -> None:
    """Drop it."""
    run(AS_OWNER)
    run(DOWNGRADE)
    run(AS_ADMIN)
