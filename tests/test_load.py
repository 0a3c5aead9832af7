"""The load proof in short: writers, runs and readers at once, and all agrees at any moment and at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from bench import load
from tests.capture import may_replicate
from tests.conftest import SOURCE_ROLE
from tests.support import Database, wait_until

Cloned = Callable[[], AbstractContextManager[Database]]


@pytest.fixture(scope="module")
def places(cloned_operational: Cloned, cloned_warehouse: Cloned) -> Iterator[load.Places]:
    """Yield a source and a warehouse with pgbench's tables registered and copied."""
    program = shutil.which("pgbench")
    assert program, "pgbench comes with the server"
    with cloned_operational() as source, cloned_warehouse() as warehouse:
        may_replicate(source)
        reader, runner = (
            warehouse.dsn_of(role, warehouse.server.passwords[role]) for role in ("headrace_reader", "headrace_runner")
        )
        places = load.Places(source.dsn, warehouse.dsn, reader, runner, Path(program))
        load.prepare(places, source.server.passwords[SOURCE_ROLE], 1)
        yield places


def test_writers_runs_and_readers_at_once(places: load.Places) -> None:
    """Eight writers, runs without a pause, readers all the time: no error, no wait for a lock, no sum that is off."""
    figures = load.drive(places, 15, writers=8, readers=2)
    assert figures.is_sound, figures
    assert figures.batches > 1
    assert min(figures.transactions, figures.changes, figures.sums, figures.looks) > 0


def test_a_reader_that_waits_is_seen(places: load.Places) -> None:
    """A lock that readers wait for is counted, so that none counted means none was there."""
    bystanders = load.Bystanders(places, readers=1)
    with psycopg.connect(places.warehouse) as holder:
        holder.execute("lock table dwh.dim_teller in access exclusive mode")
        wait_until(lambda: bystanders.figures.waits or bystanders.figures.errors, what="a reader that waits")
        holder.rollback()
    figures = bystanders.end()
    assert (figures.waits > 0, figures.errors) == (True, [])


def test_what_is_wrong_is_found(places: load.Places) -> None:
    """Mirrors and dimensions that are not what they should be are found, by the comparison and by readers."""
    with psycopg.connect(places.source, autocommit=True) as source:
        source.execute("insert into public.pgbench_history values (1, 1, 1, 0, clock_timestamp())")
    with psycopg.connect(places.warehouse, autocommit=True) as warehouse:
        warehouse.execute(f"call etl.run('{load.PIPELINE}')")
        assert list(load.compare(warehouse)) == []
        warehouse.execute(
            "update mrr.pgbench_tellers set filler = 'x' where tid = 1; delete from mrr.pgbench_history where"
            " ctid = (select min(ctid) from mrr.pgbench_history);"
            " update dwh.dim_account set balance = balance + 1 where is_current and account_id <= 9"
        )
        assert list(load.compare(warehouse)) == [
            "op.pgbench_tellers and mrr.pgbench_tellers: 1 rows in the first alone",
            "op.pgbench_tellers and mrr.pgbench_tellers: 1 rows in the second alone",
            "op.pgbench_history and mrr.pgbench_history: 1 rows in the first alone",
            "mrr.pgbench_accounts and dwh.dim_account: 9 rows in the first alone",
            "mrr.pgbench_accounts and dwh.dim_account: 9 rows in the second alone",
            "mrr.pgbench_history and dwh.fact_move: 1 rows in the second alone",
        ]
    figures = load.drive(places, 1, writers=1, readers=1)
    assert figures.wrong
    assert figures.differences
    assert not figures.is_sound
