"""Runs psql on a database under test."""

from __future__ import annotations

import os
import subprocess

from tests.support import Database


def psql(database: Database, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run psql as the database's superuser.

    Args:
        database: the database to connect to.
        arguments: psql's own arguments.
        variables: further environment variables.

    Returns:
        What psql printed, and its exit code.
    """
    server = database.server
    connection = {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": database.name,
    }
    return subprocess.run(
        ["psql", "-X", "-q", *arguments],
        env={**os.environ, **connection, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
