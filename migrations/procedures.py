"""Deploys procedures/: one object per file, each executed by headrace_owner with an empty search_path.

A file that needs another one's object to be created names it in a line ``-- requires: schema.object, schema.object``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import psycopg
from alembic.util import CommandError

ROOT = Path(__file__).resolve().parent.parent / "procedures"
ENTER = "set local role headrace_owner;\nset local search_path = pg_catalog, pg_temp;\n"
LEAVE = "reset role;\nreset search_path;\n"
RECORD = (
    "insert into etl.deployed_file (path, sha256) values ({}, {})\n"
    "on conflict (path) do update set sha256 = excluded.sha256, deployed_at = clock_timestamp();\n"
)

REQUIRES = re.compile(r"^-- requires:(.*)$", re.MULTILINE)
BODY_LINE = re.compile(r"near line (\d+)")
DOLLAR_QUOTE = re.compile(r"\$\w*\$")
# What may hide a semicolon, then the semicolon itself. A body in BEGIN ATOMIC keeps the rest of its file together.
TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | \b[eE]'(?:[^'\\]|\\.|'')*' | '[^']*' | "[^"]*" | \$(\w*)\$.*?\$\1\$"""
    r"""| \bbegin\s+atomic\b.* | ;""",
    re.DOTALL | re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class File:
    """One file of procedures/."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """The object that it makes, ``schema.object``."""
        return self.path.removesuffix(".sql").replace("/", ".")

    @property
    def sha256(self) -> str:
        """The hash that tells whether it was deployed as it is."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def requires(self) -> set[str]:
        """The objects that must be there before it."""
        return {name.strip() for line in REQUIRES.findall(self.text) for name in line.split(",")}

    def statements(self) -> Iterator[tuple[int, str]]:
        """Yield each statement after the offset at which it starts."""
        start = 0
        for token in TOKEN.finditer(self.text):
            if token[0] == ";":
                yield start, self.text[start : token.end()]
                start = token.end()
        if self.text[start:].strip():
            yield start, self.text[start:]


def read() -> list[File]:
    """Return every file, those that are required before those that require them, by path otherwise."""
    files = {file.name: file for file in (
        File(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.sql")
    )}
    for file in files.values():
        for name in sorted(file.requires - files.keys()):
            raise CommandError(f"procedures/{file.path} requires {name}, but there is no such file")
    sorter = TopologicalSorter({name: files[name].requires for name in sorted(files)})
    try:
        sorter.prepare()
    except CycleError as error:
        raise CommandError(f"files of procedures/ require each other: {' -> '.join(error.args[1])}") from None
    ordered = []
    while ready := sorted(sorter.get_ready()):
        ordered += [files[name] for name in ready]
        sorter.done(*ready)
    return ordered


def deploy(connection: psycopg.Connection, *, everything: bool) -> int:
    """Execute the files within the open transaction.

    Args:
        connection: the driver's connection, in the transaction that the revisions ran in.
        everything: execute also the files whose text has not changed, since a revision may have dropped their objects.

    Returns:
        How many files were executed.
    """
    files = read()
    connection.execute(ENTER)
    deployed = dict(connection.execute("select path, sha256 from etl.deployed_file").fetchall())
    changed = [file for file in files if everything or deployed.get(file.path) != file.sha256]
    for file in changed:
        _execute(connection, file)
        connection.execute(RECORD.format("%s", "%s"), [file.path, file.sha256])
    connection.execute("delete from etl.deployed_file where path <> all (%s)", [[file.path for file in files]])
    connection.execute(LEAVE)
    return len(changed)


def script() -> str:
    """Return the deployment of every file as one SQL script."""
    files = read()
    parts = [ENTER]
    for file in files:
        parts += [f"-- procedures/{file.path}\n{file.text.rstrip()}\n", RECORD.format(f"'{file.path}'", f"'{file.sha256}'")]
    paths = ", ".join(f"'{file.path}'" for file in files)
    parts += [f"delete from etl.deployed_file where path <> all (array[{paths}]::text[]);\n", LEAVE]
    return "\n".join(parts)


def _execute(connection: psycopg.Connection, file: File) -> None:
    """Execute one file, statement by statement, so that an error can name its line."""
    for offset, statement in file.statements():
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            line = file.text.count("\n", 0, offset + _position(statement, error.diag)) + 1
            hint = f"\nHINT: {error.diag.message_hint}" if error.diag.message_hint else ""
            raise CommandError(
                f"procedures/{file.path}, line {line}: {error.diag.message_primary or error}{hint}\n"
                "The whole upgrade was rolled back."
            ) from None


def _position(statement: str, diagnostic: psycopg.errors.Diagnostic) -> int:
    """Return the offset of what an error is about: its position, else the line of the body, else the first word."""
    if diagnostic.statement_position:
        return int(diagnostic.statement_position) - 1
    quote, line = DOLLAR_QUOTE.search(statement), BODY_LINE.search(diagnostic.context or "")
    if quote and line:
        return len("\n".join(statement[quote.end() :].split("\n")[: int(line[1])])) + quote.end()
    return len(statement) - len(re.sub(r"\A(?:\s|--[^\n]*\n)+", "", statement))
