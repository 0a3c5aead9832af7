"""${message}.

Revision ${up_revision}, after ${down_revision | comma,n}, ${create_date}.
"""

from __future__ import annotations

from migrations.script import run
${"import sqlalchemy as sa\nfrom alembic import op\n" + imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """${message}."""
    ${upgrades if upgrades else "run(\"\"\"\n    set local role headrace_owner;\n    reset role;\n    \"\"\")"}


def downgrade() -> None:
    """Take it back."""
    ${downgrades if downgrades else "run(\"\"\"\n    set local role headrace_owner;\n    reset role;\n    \"\"\")"}
