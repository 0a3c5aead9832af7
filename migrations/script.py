"""Runs SQL scripts as they are, colons and percent signs included."""

from __future__ import annotations

from alembic import op
from alembic.runtime.migration import MigrationContext


def run(script: str, context: MigrationContext | None = None) -> None:
    """Execute an SQL script, or print it under ``--sql``.

    Args:
        script: one or more statements, each ended by a semicolon; nothing in it is a parameter.
        context: the migration context; revisions leave it out.
    """
    context = context or op.get_context()
    if context.as_sql:
        context.impl.static_output(script.strip("\n") + "\n")
    else:
        assert context.connection is not None
        context.connection.exec_driver_sql(script, execution_options={"no_parameters": True})
