"""A loop of runs in one job: fresh within moments, next to nothing while nothing happens, ended by a first failure."""

from __future__ import annotations

import time

import psycopg

from tests.capture import PIPELINE, logged
from tests.support import BackgroundRun, Flow, raises, wait_until
from tests.test_log_capture import KEYED

LOOP = "call etl.run_loop('log', every => '0.2 seconds', lasting => '%s seconds')"


def runs(flow: Flow) -> int:
    """Return how many runs were logged."""
    count: int = flow.warehouse.value("select count(*) from etl.run_log where pipeline = 'log'")
    return count


def test_runs_when_there_is_something(source: Flow) -> None:
    """A change arrives within moments; without one no run is opened, and the slot still moves on."""
    logged(source, KEYED, "create table public.other (a text)")
    before = runs(source)
    loop = BackgroundRun(source.warehouse.connect("headrace_runner"), LOOP % 6)
    time.sleep(1)
    assert runs(source) == before
    source.operational.execute("insert into public.t values (1)")
    wait_until(lambda: source.warehouse.query("select from mrr.t where id = 1"), timeout=4)
    source.operational.execute("insert into public.other select repeat('x', 1000) from generate_series(1, 20000)")
    wait_until(
        lambda: source.operational.value(
            "select pg_current_wal_flush_lsn() - confirmed_flush_lsn < 1000000 from pg_catalog.pg_replication_slots"
            " where database = current_database()"
        ),
        timeout=4,
    )
    loop.finish()
    assert runs(source) == before + 1
    assert source.warehouse.value("select freshness < interval '3 seconds' from etl.status where pipeline = 'log'")


def test_first_copy_in_a_loop(source: Flow) -> None:
    """A table that was not copied yet counts as something to do."""
    logged(source, KEYED)
    source.operational.execute("create table public.u (id int primary key); insert into public.u values (1)")
    source.operational.execute(
        f"alter publication {source.warehouse.value('select etl.slot_name(%s)', [PIPELINE])} add table public.u"
    )
    source.add_table("public.u", PIPELINE, capture="log")
    source.warehouse.execute(LOOP % 1)
    source.assert_mirror_equals_source("public.u")


def test_failure_ends_the_loop_and_is_logged(source: Flow) -> None:
    """The loop ends with the first run that failed, also where no row came but a column, and the log has it."""
    logged(source, KEYED, on_schema_change="stop")
    source.operational.execute("alter table public.t add c int")
    with raises("55000", message="is not what was registered"):
        source.warehouse.execute(LOOP % 5)
    assert source.last_run("status", PIPELINE) == ("failed",)


def test_lost_source_is_logged(source: Flow) -> None:
    """A source that is out of reach ends the loop with a logged failure."""
    logged(source, KEYED)
    source.warehouse.execute("alter server op options (set port '1')")
    try:
        source.warehouse.execute(LOOP % 5)
    except psycopg.Error as error:
        assert (error.sqlstate or "")[:2] == "08"
    assert source.last_run("status", PIPELINE) == ("failed",)


def test_paused_and_busy_pipelines_are_left_alone(source: Flow) -> None:
    """A paused pipeline, and one at work elsewhere, end the loop quietly."""
    logged(source, KEYED)
    before = runs(source)
    source.operational.execute("insert into public.t values (1)")
    source.warehouse.execute("call etl.pause('log')")
    source.warehouse.execute(LOOP % 1)
    source.warehouse.execute("call etl.resume('log')")
    with source.warehouse.connect() as other:
        other.execute("select pg_advisory_lock(etl.lock_class(), pipeline_id) from etl.pipeline where pipeline = 'log'")
        source.warehouse.execute(LOOP % 1)
    assert runs(source) == before


def test_unknown_pipeline_and_open_transaction(source: Flow) -> None:
    """Both are refused, as by etl.run."""
    with raises("42704", message="there is no pipeline"):
        source.warehouse.execute("call etl.run_loop('nothing')")
    logged(source, KEYED)
    with raises("2D000"), source.warehouse.connection.transaction():
        source.warehouse.execute(LOOP % 1)
