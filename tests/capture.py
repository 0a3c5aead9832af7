"""What the tests of capture by log share: registering tables as a DBA would, and looking at the source's slots."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from tests.conftest import SAMPLE, SOURCE_ROLE, register
from tests.support import Database, Flow, Row

PIPELINE = "log"
REMEDY = re.compile(r"At the source, as its DBA:\s(.*)\sThen call etl\.add_table again\.", re.DOTALL)


def may_replicate(operational: Database) -> None:
    """Give the source's role the attribute that reading a slot takes, and have what is committed be in the log at once.

    A commit that is not flushed yet is captured a moment later; the servers of a test run would leave them all so.
    """
    operational.execute(f"alter role {SOURCE_ROLE} replication")
    operational.execute(f"alter database {operational.name} set synchronous_commit = on; set synchronous_commit = on")


def remedy(error: psycopg.Error) -> str:
    """Return the statements that a refusal asks the source's DBA to run."""
    found = REMEDY.fullmatch(error.diag.message_hint or "")
    assert error.sqlstate == "55000", error
    assert found, f"{error}\n{error.diag.message_hint}"
    return found[1]


def add_log_table(flow: Flow, table: str, pipeline: str = PIPELINE, **options: Any) -> None:
    """Register a table for capture by log; as the source's DBA, run what the refusal says has to be run."""
    arguments = {"capture": "log", **options}
    try:
        flow.add_table(table, pipeline, **arguments)
    except psycopg.Error as error:
        flow.operational.execute(remedy(error))
        flow.add_table(table, pipeline, **arguments)


def log_sample(operational: Database, warehouse: Database) -> Flow:
    """Register the sample's tables for capture by log, in one pipeline."""
    flow = register(operational, warehouse)
    may_replicate(operational)
    operational.execute("alter table public.sales replica identity full")
    for table in SAMPLE:
        add_log_table(flow, table, "sales")
    return flow


def logged(flow: Flow, *statements: str, tables: tuple[str, ...] = ("public.t",), **options: Any) -> Flow:
    """Make tables at the source, register them, and run for the first time."""
    may_replicate(flow.operational)
    for statement in statements:
        flow.operational.execute(statement)
    for table in tables:
        add_log_table(flow, table, **options)
    flow.run(PIPELINE)
    for table in tables:
        flow.assert_mirror_equals_source(table)
    return flow


def put_stream(session: psycopg.Connection, messages: list[Row]) -> None:
    """Put what a slot said, transaction and message, where the decoding of a session looks for it."""
    session.execute(
        "create temporary table headrace_stream"
        ' (seq bigint generated always as identity, xid bigint, tag "char", message bytea)'
    )
    with session.cursor() as cursor:
        cursor.executemany(
            'insert into headrace_stream (xid, tag, message) select %s, chr(get_byte(m, 0))::"char", m'
            " from (select %s::bytea as m) m",
            messages,
        )
    session.execute("select mrr.count_kinds()")


def follow(flow: Flow, *tables: str) -> None:
    """Run, and see that the mirrors are what the source is, and that nothing was copied or compared for it."""
    copied = copies(flow)
    flow.run(PIPELINE)
    for table in tables or ("public.t",):
        flow.assert_mirror_equals_source(table)
    assert copies(flow) == copied, "a table was compared in full"


def copies(flow: Flow) -> list[Row]:
    """Return when each table was last compared in full."""
    return flow.warehouse.query("select mirror, full_at from etl.source_table order by mirror")


def slots(flow: Flow) -> list[str]:
    """Return the names of the slots at the source."""
    return [
        name
        for (name,) in flow.operational.query(
            "select slot_name from pg_catalog.pg_replication_slots where database = current_database() order by 1"
        )
    ]


def publications(flow: Flow) -> list[str]:
    """Return the names of the publications at the source."""
    return [name for (name,) in flow.operational.query("select pubname from pg_catalog.pg_publication order by 1")]


def gaps(flow: Flow) -> list[str]:
    """Return what was logged about missing changes."""
    return [
        message
        for (message,) in flow.warehouse.query(
            "select message from etl.procedure_errors where sqlstate = '01000' order by error_id"
        )
    ]


def changes(flow: Flow) -> tuple[int, int, int]:
    """Return how many rows of mirrors the last run inserted, updated and deleted."""
    inserted, updated, deleted = flow.warehouse.row(
        "select coalesce(sum(rows_inserted), 0)::int, coalesce(sum(rows_updated), 0)::int,"
        " coalesce(sum(rows_deleted), 0)::int from etl.step_log where phase = 'capture'"
        " and run_id = (select max(run_id) from etl.run_log)"
    )
    return inserted, updated, deleted


def errors(flow: Flow) -> list[str]:
    """Return what the log says went wrong, for the messages of failed assertions."""
    return [m for (m,) in flow.warehouse.query("select message from etl.procedure_errors order by error_id")]


keyed_and_keyless = pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without a key"])
