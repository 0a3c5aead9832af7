"""Finds in SQL what Citus refuses, or does wrongly, with tables that it spreads over nodes.

It sees every statement that a text holds: SQL, and the static SQL of PL/pgSQL bodies. Statements that routines make at
run time it does not see; ``executed`` has the server tell them while something runs. Neither knows everything that
Citus refuses (a join of a table of this session, say): that is what the tests on a real cluster are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, parse_plpgsql, parse_sql
from pglast.enums import OnConflictAction
from pglast.parser import ParseError
from pglast.visitors import Visitor
from psycopg import Connection
from psycopg.errors import Diagnostic

from tests import checks

PLPGSQL = re.compile(
    r"^create or replace (?:function|procedure).*?^(\$\w*\$);", re.MULTILINE | re.DOTALL | re.IGNORECASE
)
STATEMENT, EXPRESSION = 0, 2  # how PL/pgSQL has a text parsed
CHANGING = (ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.InsertStmt)


@dataclass(frozen=True)
class Dialect:
    """What a warehouse spreads over nodes, and which of its functions must not be called in a change of that."""

    layout: Mapping[str, tuple[str, str | None]]
    unsteady: frozenset[str]

    def kind(self, table: ast.RangeVar) -> str:
        """Return distributed, reference or local; mirrors are distributed, whatever they are called."""
        name = f"{table.schemaname}.{table.relname}"
        mirror = "distributed" if table.schemaname == "mrr" else "local"
        return self.layout.get(name, (mirror, None))[0]

    def is_spread(self, table: object) -> bool:
        """Tell whether a table lives on other nodes too."""
        return isinstance(table, ast.RangeVar) and self.kind(table) != "local"

    def findings(self, text: str) -> Iterator[str]:
        """Yield what is wrong with the statements of a text."""
        for raw in parse_sql(text):
            if isinstance(raw.stmt, ast.CreateFunctionStmt):
                yield from self._routine(raw.stmt, text)
            else:
                yield from self._statement(raw.stmt)

    def _routine(self, statement: ast.CreateFunctionStmt, text: str) -> Iterator[str]:
        made = checks.Routine.of(statement)
        if made.language == "sql":
            for raw in parse_sql(made.body or ""):
                yield from self._statement(raw.stmt)
                if any(self.is_spread(table) for table in tables(raw.stmt)):
                    yield "an SQL function reads or writes a spread table: Citus cannot plan its parameters"
        elif made.language == "plpgsql":
            whole = PLPGSQL.search(text)
            assert whole, f"{made.name} has no body in dollar quotes"
            tree = parse_plpgsql(checks.COMPOSITE_VARIABLE.sub(r"\1 record", whole[0]))
            yield from self._body(tree)

    def _body(self, node: Any) -> Iterator[str]:
        """Walk PL/pgSQL's tree: every expression, and in lists what comes right before GET DIAGNOSTICS."""
        if isinstance(node, list):
            for before, item in zip([None, *node], node, strict=False):
                diagnostics = item.get("PLpgSQL_stmt_getdiag", {}) if isinstance(item, dict) else {}
                kinds = {d["PLpgSQL_diag_item"]["kind"] for d in diagnostics.get("diag_items", [])}
                if "ROW_COUNT" in kinds and "on conflict" in str(before).lower():
                    yield "ROW_COUNT after ON CONFLICT: count what the statement returns"
                yield from self._body(item)
        elif isinstance(node, dict):
            expression = node.get("PLpgSQL_expr")
            if expression is not None and expression.get("parseMode") in (STATEMENT, EXPRESSION):
                lead = "select " if expression["parseMode"] == EXPRESSION else ""
                for raw in parse_sql(lead + expression["query"]):
                    yield from self._statement(raw.stmt)
            for value in node.values():
                yield from self._body(value)

    def _statement(self, statement: ast.Node) -> Iterator[str]:
        walk = _Walk(self)
        walk(statement)
        yield from walk.found


@dataclass
class _Names(Visitor):
    """Collects the tables that a statement names, and those of its common table expressions, which are none."""

    tables: list[ast.RangeVar] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def visit_RangeVar(self, _ancestors: object, node: ast.RangeVar) -> None:  # noqa: N802
        self.tables.append(node)


def tables(statement: ast.Node) -> list[ast.RangeVar]:
    """Return the tables that a statement names."""
    names = _Names()
    names(statement)
    return names.tables


class _Walk(Visitor):
    """Looks at every change, subquery and join of a statement."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self.dialect = dialect
        self.found: list[str] = []

    def visit(self, _ancestors: object, node: ast.Node) -> None:
        if getattr(node, "withClause", None) is not None:
            self._with(node)
        if isinstance(node, CHANGING):
            self._change(node)
        elif isinstance(node, ast.SubLink) and isinstance(node.subselect, ast.SelectStmt):
            spread = any(self.dialect.is_spread(table) for table in node.subselect.fromClause or ())
            if spread and not node.subselect.targetList:
                self.found.append("EXISTS (SELECT FROM …) of a spread table has no column: write SELECT 1")
        elif isinstance(node, ast.RangeSubselect) and node.lateral and isinstance(node.subquery, ast.SelectStmt):
            kinds = {self.dialect.kind(table) for table in tables(node.subquery)}
            if "distributed" in kinds and node.subquery.limitCount is not None:
                self.found.append("LIMIT in a lateral subquery of a distributed table: number its rows instead")

    def _with(self, statement: Any) -> None:
        if not any(self.dialect.kind(table) == "reference" for table in tables(statement)):
            return
        for query in (expression.ctequery for expression in statement.withClause.ctes):
            if isinstance(query, ast.UpdateStmt | ast.DeleteStmt) and not self.dialect.is_spread(query.relation):
                self.found.append(
                    f"WITH changes {query.relation.relname}, which is local, beside a reference table: read that before"
                )

    def _change(self, node: Any) -> None:
        kind = self.dialect.kind(node.relation)
        name = f"{node.relation.schemaname}.{node.relation.relname}"
        if isinstance(node, ast.MergeStmt):
            sources = tables(node.sourceRelation)
            if kind == "reference":
                self.found.append(f"MERGE into the reference table {name}")
            elif kind == "distributed" and not (sources and all(self.dialect.is_spread(s) for s in sources)):
                self.found.append(f"MERGE into {name} from what is not distributed with it")
        if kind == "local":
            return
        if isinstance(node, ast.UpdateStmt):
            column = self.dialect.layout.get(name, ("", None))[1]
            if column is not None and column in {target.name for target in node.targetList}:
                self.found.append(f"{name}.{column} tells the shard and is updated")
        for called in sorted(calls(node) & self.dialect.unsteady):
            self.found.append(f"{called}() is called in a change of {name}: read it into a variable first")


def calls(change: Any) -> set[str]:
    """Return the functions that a change calls for its rows: not those of its FROM clauses and subqueries."""
    parts: list[Any] = [change.returningClause] if hasattr(change, "returningClause") else []
    if isinstance(change, ast.InsertStmt):
        select = change.selectStmt
        parts += [*(select.targetList or ()), select.whereClause] if isinstance(select, ast.SelectStmt) else []
        conflict = change.onConflictClause
        if conflict is not None and conflict.action == OnConflictAction.ONCONFLICT_UPDATE:
            parts += [*conflict.targetList]
    elif not isinstance(change, ast.MergeStmt):
        parts += [*(getattr(change, "targetList", None) or ()), change.whereClause]
    names: set[str] = set()

    class Calls(Visitor):
        def visit_FuncCall(self, _ancestors: object, node: ast.FuncCall) -> None:  # noqa: N802
            names.add(".".join(part.sval for part in node.funcname))

    for part in parts:
        if isinstance(part, ast.Node):
            Calls()(part)
    return names


@contextmanager
def executed(connection: Connection) -> Iterator[list[str]]:
    """Yield the statements that the server executes for a session, those within routines and made there included.

    The module auto_explain, which comes with PostgreSQL, tells them; the session has to be a superuser's.
    """
    statements: list[str] = []

    def note(message: Diagnostic) -> None:
        if found := re.search(
            r"plan:\nQuery Text: (.*?)\n(?:Query Parameters: .*?\n)?(?=\S[^\n]*\(cost=)",
            message.message_primary or "",
            re.DOTALL,
        ):
            statements.append(found[1])

    connection.execute(
        "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;"
        " set auto_explain.log_level = notice"
    )
    connection.add_notice_handler(note)
    yield statements
    connection.remove_notice_handler(note)
    connection.execute("set auto_explain.log_min_duration = -1")


def parses(text: str) -> bool:
    """Tell whether a text is whole SQL: what PL/pgSQL evaluates by itself is told as an expression."""
    try:
        parse_sql(text)
    except ParseError:
        return False
    return True
