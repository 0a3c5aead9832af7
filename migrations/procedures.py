"""Deploys procedures/: one object per file, executed by headrace_owner with an empty search_path.

A file that needs another one's object to be created names it in a line ``-- requires: schema.object, schema.object``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from psycopg.errors import Diagnostic
from sqlalchemy.exc import DBAPIError

from migrations.script import literal, run

ROOT = Path(__file__).resolve().parent.parent / "procedures"

REQUIRES = re.compile(r"^-- requires:(.*)$", re.MULTILINE)
LEADING = re.compile(r"(?:\s+|--[^\n]*)*")
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
        if LEADING.fullmatch(self.text, start) is None:
            yield start, self.text[start:]


def read() -> list[File]:
    """Return every file: those that are required before those that require them, by path otherwise."""
    paths = sorted(ROOT.rglob("*.sql"))
    files = [File(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    by_name = {file.name: file for file in files}
    for file in files:
        for missing in sorted(file.requires - by_name.keys()):
            raise CommandError(f"procedures/{file.path} requires {missing}, and no file makes it")
    sorter = TopologicalSorter({file.name: file.requires for file in files})
    try:
        sorter.prepare()
    except CycleError as error:
        raise CommandError(f"files of procedures/ require each other: {' -> '.join(error.args[1])}") from None
    ordered = []
    while ready := sorted(sorter.get_ready()):
        ordered += [by_name[name] for name in ready]
        sorter.done(*ready)
    return ordered


def deploy(migration: MigrationContext, *, everything: bool) -> None:
    """Execute the files within the open transaction, or print them under ``--sql``.

    Args:
        migration: the context of the migration, in the role of the owner.
        everything: execute also the files whose text has not changed, since a revision may have dropped their objects.
    """
    files = read()
    deployed = {} if everything else _deployed(migration)
    for file in files:
        if deployed.get(file.path) != file.sha256:
            _execute(migration, file)
            run(
                "insert into etl.deployed_file (path, sha256)\n"
                f"values ({literal(file.path)}, {literal(file.sha256)})\n"
                "on conflict (path) do update set sha256 = excluded.sha256, deployed_at = clock_timestamp();",
                migration,
            )
    paths = ", ".join(literal(file.path) for file in files)
    run(f"delete from etl.deployed_file where path <> all (array[{paths}]::text[]);", migration)


def _deployed(migration: MigrationContext) -> dict[str, str]:
    """Return the hash of each file that was deployed."""
    assert migration.connection is not None
    rows = migration.connection.exec_driver_sql("select path, sha256 from etl.deployed_file")
    return {row.path: row.sha256 for row in rows}


def _execute(migration: MigrationContext, file: File) -> None:
    """Execute one file, statement by statement, so that an error can name its line; or print it as a whole."""
    if migration.as_sql:
        run(f"-- procedures/{file.path}\n{file.text}", migration)
        return
    for offset, statement in file.statements():
        try:
            run(statement, migration)
        except DBAPIError as error:
            diagnostic: Diagnostic = error.orig.diag  # type: ignore[union-attr]
            line = file.text.count("\n", 0, offset + _position(statement, diagnostic)) + 1
            hint = f"\nHINT: {diagnostic.message_hint}" if diagnostic.message_hint else ""
            raise CommandError(
                f"procedures/{file.path}, line {line}: {diagnostic.message_primary or error.orig}{hint}\n"
                "The whole upgrade was rolled back."
            ) from None


def _position(statement: str, diagnostic: Diagnostic) -> int:
    """Return the offset of what an error is about: its position, else the line of the body, else the first word."""
    if diagnostic.statement_position:
        return int(diagnostic.statement_position) - 1
    quote, line = DOLLAR_QUOTE.search(statement), BODY_LINE.search(diagnostic.context or "")
    if quote and line:
        return quote.end() + len("\n".join(statement[quote.end() :].split("\n")[: int(line[1])]))
    leading = LEADING.match(statement)
    return leading.end() if leading else 0
