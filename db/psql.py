"""psql: which one is run, and how it gets a password that no list of processes shows; standard library alone."""

from __future__ import annotations

import os
import subprocess
import urllib.parse

from db import machine
from db.problem import Problem


def command(dsn: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the words and the environment to start psql with.

    Args:
        dsn: where to, as a whole URL.
        arguments: psql's own.
    """
    parts = urllib.parse.urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    bare = parts._replace(netloc=f"{parts.username}@{place}").geturl()
    programs = [str(server.bin) for server in machine.installed()]
    environment = {**os.environ, "PGPASSWORD": urllib.parse.unquote(parts.password or "")}
    environment["PATH"] = os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)])
    return ["psql", bare, *arguments], environment


def become(dsn: str, *arguments: str) -> int:
    """Become psql, for a person.

    Raises:
        Problem: it is not installed.
    """
    words, environment = command(dsn, *arguments)
    try:
        os.execvpe("psql", words, environment)
    except FileNotFoundError:
        raise missing() from None


def run(dsn: str, *arguments: str, **variables: str) -> str:
    """Run psql and return what it says besides results: notices and warnings.

    Args:
        dsn: where to, as a whole URL.
        arguments: psql's own.
        variables: of its environment, besides that of this program.

    Raises:
        Problem: it ended at an error.
    """
    words, environment = command(dsn, "-X", "-q", "-v", "ON_ERROR_STOP=1", *arguments)
    try:
        done = subprocess.run(
            words, env={**environment, **variables}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise missing() from None
    if done.returncode:
        what, *more = done.stderr.strip().splitlines() or ["psql ended without a word"]
        raise Problem(what, "\n".join(more))
    return done.stderr.strip()


def missing() -> Problem:
    """Return that there is no psql."""
    return Problem("psql is not installed", "Install postgresql-client.")
