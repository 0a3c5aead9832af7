"""Any table with any life, in the modes that see all changes: random types, a key or none, lost connections."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.capture import add_log_table, may_replicate
from tests.conftest import SOURCE_ROLE, register
from tests.support import BackgroundRun, Database, Flow, locked, wait_until
from tests.test_types import TYPES, VALUES

Clone = Callable[[], AbstractContextManager[Database]]
KINDS = [kind for kind in VALUES if kind not in {"point", "box", "path", "polygon", "circle"}]
COLUMNS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=6)
# A change: what is done, to which id, and which value of each type; a fault: what is lost, and where a run gets to.
CHANGE = st.tuples(
    st.sampled_from(["insert", "insert", "update", "delete", "copy", "truncate", "add", "drop", "retype"]),
    st.integers(1, 5),
    st.integers(0, 6),
)
FAULT = st.tuples(
    st.sampled_from(["run", "run", "capture", "kill", "cut"]),
    st.sampled_from(["etl.batch", "etl.batch_source", "mrr.any", "stg.any_changes", "etl.step_log"]),
    st.integers(0, 0),
)


class Table:
    """A table of random columns at the source, and its life."""

    def __init__(self, flow: Flow, kinds: list[str], capture: str, keyed: bool) -> None:
        """Make and register it."""
        self.flow = flow
        self.kinds = dict(enumerate(kinds))
        flow.operational.execute(TYPES)
        self.do(
            sql.SQL("create table public.any (id int {}, {})").format(
                sql.SQL("primary key" if keyed else ""),
                sql.SQL(", ").join(sql.SQL(f"c{n} {kind}") for n, kind in self.kinds.items()),
            )
        )
        if not keyed:
            flow.operational.execute("alter table public.any replica identity full")
        add_log_table(flow, "public.any", "any", capture=capture, on_schema_change="evolve")

    def do(self, statement: sql.Composed) -> None:
        """Change the source; what a constraint refuses has not happened."""
        with contextlib.suppress(psycopg.IntegrityError):
            self.flow.operational.connection.execute(statement)

    def value(self, kind: str, choice: int) -> sql.Composable:
        """Return a value of a type, or NULL."""
        values = [*VALUES[kind], None]
        return sql.SQL("{}::{}").format(sql.Literal(values[choice % len(values)]), sql.SQL(kind))

    def change(self, verb: str, member: int, choice: int) -> None:
        """Do one thing to its rows or its columns."""
        values = [self.value(kind, choice + n) for n, kind in self.kinds.items()]
        columns = [sql.Identifier(f"c{n}") for n in self.kinds]
        where = sql.SQL(" where id = {}").format(sql.Literal(member))
        if verb == "insert":
            row = sql.SQL(", ").join([sql.Literal(member), *values])
            self.do(sql.SQL("insert into public.any values ({})").format(row))
        elif verb == "copy":
            self.do(sql.SQL("insert into public.any select * from public.any") + where)
        elif verb == "update":
            pairs = [sql.SQL("{} = {}").format(c, v) for c, v in zip(columns, values, strict=True)]
            moved = sql.SQL("id = {}").format(sql.Literal(choice + 1))
            self.do(sql.SQL("update public.any set {}").format(sql.SQL(", ").join([*pairs, moved])) + where)
        elif verb == "delete":
            self.do(sql.SQL("delete from public.any") + where)
        elif verb == "truncate" and choice == 0:
            self.flow.operational.execute("truncate public.any")
        elif verb == "add" and len(self.kinds) < 8:
            self.kinds[max(self.kinds) + 1] = kind = KINDS[(member * 7 + choice) % len(KINDS)]
            self.flow.operational.execute(f"alter table public.any add c{max(self.kinds)} {kind}")
        elif verb == "drop" and len(self.kinds) > 1:
            self.flow.operational.execute(f"alter table public.any drop c{self.kinds.popitem()[0]}")
        elif verb == "retype":
            last = max(self.kinds)
            self.kinds[last] = "text"
            self.flow.operational.execute(f"alter table public.any alter c{last} type text using c{last}::text")

    def run(self, fault: str, where: str) -> None:
        """Run; lose the run's session, or its session at the source, where it gets to a table."""
        warehouse = self.flow.warehouse
        if fault == "run":
            self.flow.run("any")
        elif fault == "capture":
            warehouse.execute("call mrr.capture('any')")
        else:
            with locked(warehouse, where):
                run = self.flow.start("any")
                if not (pid := arrival(warehouse, run)):
                    run.finish()  # it had nothing to do there
                elif fault == "kill":
                    warehouse.execute("select pg_terminate_backend(%s::int, 5000)", [pid])
                else:
                    self.flow.operational.execute(
                        "select pg_terminate_backend(pid, 5000) from pg_catalog.pg_stat_activity"
                        " where datname = current_database() and usename = %s",
                        [SOURCE_ROLE],
                    )
            with contextlib.suppress(psycopg.Error):
                run.finish()


def arrival(warehouse: Database, run: BackgroundRun) -> int | None:
    """Wait until a run waits for a lock, and return its process id; None if it ends before."""
    waiting = "select pid from pg_catalog.pg_locks where pid = %s and not granted"
    found: list[tuple[int]] = wait_until(
        lambda: warehouse.query(waiting, [run.pid]) or not run.is_working, what="a lock that the run waits for"
    )
    return found[0][0] if isinstance(found, list) else None


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a failure takes minutes: add Phase.shrink
    suppress_health_check=list(HealthCheck),
)
@given(
    kinds=COLUMNS,
    capture=st.sampled_from(["log", "log", "full"]),
    keyed=st.booleans(),
    life=st.lists(st.one_of(CHANGE, CHANGE, FAULT), min_size=5, max_size=30),
)
def test_any_table(
    cloned_operational: Clone,
    cloned_warehouse: Clone,
    kinds: list[str],
    capture: str,
    keyed: bool,
    life: list[tuple[str, str | int, int]],
) -> None:
    """Whatever its columns are, and become, the mirror ends equal to the table."""
    with cloned_operational() as operational, cloned_warehouse() as warehouse:
        may_replicate(operational)
        flow = register(operational, warehouse)
        table = Table(flow, kinds, capture, keyed)
        for verb, which, choice in life:
            if isinstance(which, int):
                table.change(verb, which, choice)
            else:
                table.run(verb, which)
        flow.run("any", force=True)
        flow.assert_mirror_equals_source("public.any")
