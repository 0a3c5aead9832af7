"""Runs SQL scripts as they are, colons and percent signs included."""

from __future__ import annotations

from alembic import op
from alembic.runtime.migration import MigrationContext

# What is deployed belongs to the owner, and finds nothing by search_path.
AS_OWNER = "set local role headrace_owner;\nset local search_path = pg_catalog, pg_temp;"
AS_ADMIN = "reset role;\nreset search_path;"


def run(script: str, migration: MigrationContext | None = None) -> None:
    """Execute an SQL script, or print it under ``--sql``.

    Args:
        script: one or more statements, each ended by a semicolon; nothing in it is a parameter.
        migration: the context of the migration; revisions leave it out.
    """
    migration = migration or op.get_context()
    if migration.as_sql:
        migration.impl.static_output(script.strip("\n") + "\n")
    else:
        assert migration.connection is not None
        migration.connection.exec_driver_sql(script, execution_options={"no_parameters": True})


def literal(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"
