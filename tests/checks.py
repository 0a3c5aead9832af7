"""Checks on the text of ``procedures/`` that need no server; ``python -m tests.checks`` runs them on every file.

A file there is executed again whenever it changed, so it may hold only what can be executed again: one object by
``create or replace``, its comment, its rights and its owner.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pglast import ast, parse_sql
from pglast.enums import ObjectType, RoleSpecType
from pglast.parser import ParseError
from pgspot.formatters import format_function

ROOT = Path(__file__).resolve().parent.parent
PROCEDURES = ROOT / "procedures"
RERUNNABLE = (ast.CreateFunctionStmt, ast.ViewStmt, ast.CommentStmt, ast.GrantStmt, ast.AlterOwnerStmt)
COMMITS = re.compile(r"^\s*(?:commit|rollback)\s*(?:and\s+chain\s*)?;", re.MULTILINE | re.IGNORECASE)
# libpg_query knows no composite types, so pgspot is shown such variables as records.
COMPOSITE_VARIABLE = re.compile(r"^(\s+[vc]_\w+)\s+\w+\.\w+(?:%rowtype)?\s*(?=;|:=|=)", re.MULTILINE)

SUMMARY = re.compile(r"^ ?(?:TOTAL: )?Errors: \d+ Warnings: \d+ Unknown: \d+ *$", re.MULTILINE)


@dataclass(frozen=True)
class Routine:
    """What ``create or replace function`` or ``procedure`` says of a routine."""

    name: str
    signature: str
    kind: str
    language: str
    body: str | None
    is_definer: bool
    settings: tuple[str, ...]

    @classmethod
    def of(cls, statement: ast.CreateFunctionStmt) -> Routine:
        """Read it from the statement's syntax tree."""
        options: dict[str, list[object]] = {}
        for option in statement.options or ():
            options.setdefault(option.defname, []).append(option.arg)
        (language,) = options.get("language", [None])
        (security,) = options.get("security", [None])
        (text,) = options.get("as", [None])
        return cls(
            name=".".join(part.sval for part in statement.funcname),
            signature=format_function(statement),
            kind="procedure" if statement.is_procedure else "function",
            language=str(getattr(language, "sval", "sql")),
            body=str(text[0].sval) if isinstance(text, tuple) else None,
            is_definer=bool(getattr(security, "boolval", False)),
            settings=tuple(str(getattr(setting, "name", "")) for setting in options.get("set", [])),
        )

    @property
    def commits(self) -> bool:
        """Tell whether it ends transactions."""
        return self.language == "plpgsql" and COMMITS.search(self.body or "") is not None

    @property
    def is_inlined(self) -> bool:
        """Tell whether it does without a pinned search_path so that the planner can inline it like a view."""
        return self.language == "sql" and not self.settings and not self.is_definer


def files() -> dict[Path, str]:
    """Return the files of ``procedures/``, by path."""
    return {path: path.read_text(encoding="utf-8") for path in sorted(PROCEDURES.rglob("*.sql"))}


def routine(text: str) -> Routine | None:
    """Return the routine that a file makes; None if it makes a view."""
    for raw in parse_sql(text):
        if isinstance(raw.stmt, ast.CreateFunctionStmt):
            return Routine.of(raw.stmt)
    return None


def name_of(target: object) -> str:
    """Return ``schema.name`` of a routine, view or comment target, without its arguments."""
    if isinstance(target, ast.RangeVar):
        return f"{target.schemaname}.{target.relname}"
    parts = target.objname if isinstance(target, ast.ObjectWithArgs) else target
    return ".".join(part.sval for part in parts) if isinstance(parts, tuple) else ""


def findings(path: Path, text: str) -> Iterator[str]:
    """Yield what is wrong with one file, in words."""
    expected = f"{path.parent.name}.{path.stem}"
    if not text.startswith("-- "):
        yield "has no header comment that says what the object is for"
    try:
        statements = [raw.stmt for raw in parse_sql(text)]
    except ParseError as error:
        yield f"does not parse: {error}"
        return
    for statement in statements:
        if not is_rerunnable(statement):
            yield f"holds a {type(statement).__name__} that cannot be executed again"
    yield from object_findings(expected, statements)
    for statement in statements:
        if isinstance(statement, ast.CreateFunctionStmt):
            yield from routine_findings(Routine.of(statement), statements)


def object_findings(expected: str, statements: Sequence[ast.Node]) -> Iterator[str]:
    """Yield what is wrong with the object of a file that has to make ``expected``."""
    objects = [s for s in statements if isinstance(s, ast.CreateFunctionStmt | ast.ViewStmt)]
    names = {name_of(s.view if isinstance(s, ast.ViewStmt) else s.funcname) for s in objects}
    if len(objects) != 1 or names != {expected}:
        yield f"makes {', '.join(sorted(names)) or 'nothing'}; by its name it makes {expected}, once"
    if not any(isinstance(s, ast.CommentStmt) and s.comment and name_of(s.object) == expected for s in statements):
        yield f"has no comment on {expected}"
    if not any(revokes_from_public(s, expected) for s in statements):
        yield f"does not revoke {expected} from public"


def is_rerunnable(statement: ast.Node) -> bool:
    """Tell whether a statement may be executed again and again."""
    if isinstance(statement, ast.VariableSetStmt):
        return str(statement.name) == "check_function_bodies"
    if isinstance(statement, ast.CreateFunctionStmt | ast.ViewStmt):
        return bool(statement.replace)
    return isinstance(statement, RERUNNABLE)


def revokes_from_public(statement: ast.Node, name: str) -> bool:
    """Tell whether a statement is ``revoke … on <name> from public``."""
    return (
        isinstance(statement, ast.GrantStmt)
        and not statement.is_grant
        and any(grantee.roletype == RoleSpecType.ROLESPEC_PUBLIC for grantee in statement.grantees)
        and statement.objtype
        in (
            ObjectType.OBJECT_FUNCTION,
            ObjectType.OBJECT_PROCEDURE,
            ObjectType.OBJECT_ROUTINE,
            ObjectType.OBJECT_TABLE,
        )
        and name in {name_of(target) for target in statement.objects}
    )


def routine_findings(routine: Routine, statements: Sequence[ast.Node]) -> Iterator[str]:
    """Yield what is wrong with a routine's options, given all statements of its file."""
    if routine.is_definer and "search_path" not in routine.settings:
        yield "is security definer without a pinned search_path"
    if routine.commits and (routine.settings or routine.is_definer):
        yield "commits, so it can have no set clause and cannot be security definer"
    if routine.commits and "set local search_path" not in (routine.body or "").lower():
        yield "commits and so cannot pin search_path; it has to set it locally in its body"
    if routine.is_inlined and any(isinstance(s, ast.GrantStmt) and s.is_grant for s in statements):
        yield "has no pinned search_path, so nobody but its owner may call it"


def pgspot(texts: Mapping[Path, str]) -> str:
    """Return pgspot's findings on files, as deployment executes them: in our schemas, with a safe search_path."""
    schemas = sorted({path.parent.name for path in texts})
    prelude = "".join(f"create schema {schema};\n" for schema in schemas) + "set search_path = pg_catalog, pg_temp;\n"
    with tempfile.TemporaryDirectory() as scratch:
        copies = [Path(scratch, "prelude.sql")]
        copies[0].write_text(prelude, encoding="utf-8")
        committing = []
        for path, text in texts.items():
            made = routine(text)
            if made is not None and made.body is None:
                continue  # a body of parsed SQL is bound when it is created, whatever the caller's search_path
            if made is not None and made.commits:
                committing.append(f"--proc-without-search-path={made.signature}")
            if made is not None and made.is_inlined:  # only routines that pin it call these
                text = re.sub(r"^as \$", "set search_path = pg_catalog, pg_temp\nas $", text, flags=re.MULTILINE)
            copies.append(Path(scratch, f"{path.parent.name}.{path.name}"))
            copies[-1].write_text(COMPOSITE_VARIABLE.sub(r"\1 record", text), encoding="utf-8")
        result = subprocess.run(
            [sys.executable, "-m", "pgspot", "--append", *committing, *map(str, copies)],
            capture_output=True,
            text=True,
            check=False,
        )
    _, *parts = re.split(rf"^{re.escape(scratch)}/(\S+\.sql): *$", result.stdout, flags=re.MULTILINE)
    said = {name: SUMMARY.sub("", text).strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
    found = "\n".join(f"{name}: {text}" for name, text in said.items() if text)
    return "" if result.returncode == 0 else found + result.stderr


def all_findings(texts: Mapping[Path, str]) -> Iterable[str]:
    """Yield the findings on all files, with the file's name before each."""
    for path, text in texts.items():
        yield from (f"{path.relative_to(ROOT)} {finding}" for finding in findings(path, text))
    if spotted := pgspot(texts):
        yield spotted


if __name__ == "__main__":
    found = list(all_findings(files()))
    sys.exit("\n".join(found) or None)
