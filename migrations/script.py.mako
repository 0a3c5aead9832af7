"""${message}."""

from __future__ import annotations

% if imports or "op." in (upgrades or "") or "sa." in (upgrades or ""):
import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
% endif
from migrations.script import AS_ADMIN, AS_OWNER, run

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """${message}."""
    run(AS_OWNER)
    ${upgrades if upgrades else ""}
    run(AS_ADMIN)


def downgrade() -> None:
    """Take it back."""
    run(AS_OWNER)
    ${downgrades if downgrades else ""}
    run(AS_ADMIN)
