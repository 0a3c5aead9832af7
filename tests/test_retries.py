"""Attempts within a run, and the back-off between runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.capture import PIPELINE, add_log_table, may_replicate
from tests.faults import assert_all_arrived, attempts, errors, fails, runs, set_source
from tests.support import BackgroundRun, Flow, locked, raises, wait_until

# Raises in a step of the publish, as often as it is told; a sequence keeps count, since it is not rolled back.
FAILING = """
    create sequence dwh.failed;
    create function dwh.fail() returns trigger language plpgsql as $$
    begin
        if nextval('dwh.failed') <= {times} then
            raise exception 'made to fail' using errcode = '{sqlstate}';
        end if;
        return null;
    end $$;
    grant all on sequence dwh.failed to headrace_owner;
    create trigger fail before insert on {table} for each statement execute function dwh.fail();
    update etl.settings set retry_pause = '20 milliseconds'
"""


def make_fail(flow: Flow, sqlstate: str, times: int, table: str = "dwh.dim_product") -> None:
    """Have the first writes of a table fail."""
    flow.warehouse.execute(FAILING.format(sqlstate=sqlstate, times=times, table=table))


@pytest.mark.parametrize(
    ("table", "step"), [("mrr.products", "products"), ("dwh.dim_product", "dim_product")], ids=["capture", "publish"]
)
@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03"])
def test_passing_failures_are_tried_again(sales: Flow, sqlstate: str, table: str, step: str) -> None:
    """Serialization failures, deadlocks and lock timeouts: each attempt is in the log, and the run succeeds."""
    sales.seed()
    make_fail(sales, sqlstate, 2, table)
    sales.run()
    assert runs(sales) == ["succeeded"]
    assert attempts(sales, step) == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert errors(sales) == [(sqlstate, step, "made to fail")] * 2
    assert sales.warehouse.value("select count(*) from etl.batch") == 1
    (message,) = sales.last_run("message")
    assert message == "19 rows read, 19 changes captured, 19 published, 6 rows quarantined"
    assert_all_arrived(sales)


def test_attempts_are_bounded(sales: Flow) -> None:
    """After the last attempt the run fails with the error itself; there is no back-off, as nothing is amiss outside."""
    sales.seed()
    make_fail(sales, "40001", 1000)
    sales.warehouse.execute("update etl.settings set retry_attempts = 2")
    with raises("40001", message="made to fail"):
        sales.run()
    assert [status for _, status in attempts(sales, "dim_product")] == ["failed"] * 3
    assert len(errors(sales)) == 3
    assert sales.warehouse.row("select failures, next_attempt_at from etl.status where pipeline = 'sales'") == (0, None)


@pytest.mark.parametrize("sqlstate", ["23505", "42P01", "P0001", "22012", "HR001"])
def test_other_failures_are_not(sales: Flow, sqlstate: str) -> None:
    """Whatever would fail again fails at once, and does not back off."""
    sales.seed()
    make_fail(sales, sqlstate, 1)
    with raises(sqlstate, message="made to fail"):
        sales.run()
    assert attempts(sales, "dim_product") == [(1, "failed")]
    assert sales.warehouse.value("select failures from etl.pipeline where pipeline = 'sales'") == 0
    sales.run()
    assert_all_arrived(sales)


@pytest.fixture
def followed(source: Flow) -> Flow:
    """Return a table that is captured by log, without a slot yet."""
    may_replicate(source.operational)
    source.operational.execute("create table public.t (id int primary key); insert into public.t values (1)")
    add_log_table(source, "public.t")
    source.warehouse.execute("update etl.settings set retry_pause = '20 milliseconds', slot_timeout = '1 second'")
    return source


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03"])
def test_a_slot_is_tried_again(followed: Flow, sqlstate: str) -> None:
    """What passes while a slot is made is tried again like a phase, within the same number of attempts."""
    make_fail(followed, sqlstate, 2, "etl.slot")
    followed.run(PIPELINE)
    assert attempts(followed, "slot at op") == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert errors(followed) == [(sqlstate, "slot at op", "made to fail")] * 2
    followed.assert_mirror_equals_source("public.t")


def test_a_slot_that_a_transaction_holds_up(followed: Flow) -> None:
    """An open transaction at the source keeps a slot from being made for longer than its time, then ends: one run."""
    with followed.operational.connect(autocommit=False) as other:
        other.execute("insert into public.t values (2)")
        run = followed.start(PIPELINE)
        wait_until(lambda: errors(followed), what="the first attempt's end")
        other.commit()
        run.finish()
    assert {sqlstate for sqlstate, *_ in errors(followed)} == {"55P03"}
    assert followed.warehouse.query("select status from etl.run_log") == [("succeeded",)]
    assert attempts(followed, "slot at op")[-1][1] == "succeeded"
    followed.assert_mirror_equals_source("public.t")


def test_attempts_at_a_slot_are_bounded(followed: Flow) -> None:
    """After the last attempt the run fails with the error itself, and the capture is not tried."""
    make_fail(followed, "40001", 1000, "etl.slot")
    followed.warehouse.execute("update etl.settings set retry_attempts = 1")
    with raises("40001", message="made to fail"):
        followed.run(PIPELINE)
    assert attempts(followed, "slot at op") == [(1, "failed"), (2, "failed")]
    assert followed.warehouse.value("select count(*) from etl.step_log") == 2
    assert followed.warehouse.query("select * from etl.batch") == []


def test_attempts_of_a_dry_run(sales: Flow) -> None:
    """A dry run commits nothing, so it has one attempt."""
    sales.seed()
    make_fail(sales, "40001", 1)
    with raises("40001"):
        sales.run(dry_run=True)
    assert attempts(sales, "dim_product") == [(1, "failed")]


def test_real_deadlock(sales: Flow) -> None:
    """Another session and the run wait for each other; whoever is the victim, the run gets through."""
    sales.seed()
    sales.warehouse.execute("update etl.settings set retry_pause = '20 milliseconds'")
    with sales.warehouse.connect(autocommit=False) as other:
        other.execute("set deadlock_timeout = '10s'")
        other.execute("lock table dwh.dim_product in share mode")
        with sales.warehouse.connect() as session:
            session.execute("set deadlock_timeout = '200ms'")
            run = BackgroundRun(session, "call etl.run('sales')")
            wait_until(
                lambda: sales.warehouse.query(
                    "select from pg_catalog.pg_locks where relation = 'dwh.dim_product'::regclass and not granted"
                ),
                what="the run at the second table",
            )
            other.execute("lock table dwh.dim_customer in share mode")
            other.rollback()
            run.finish()
    assert [state for state, *_ in errors(sales)] == ["40P01"]
    assert runs(sales) == ["succeeded"]
    assert_all_arrived(sales)


# ----------------------------------------------------------------------------------------------------------------------
# Back-off
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sqlstate", ["08006", "53200", "53100", "57P03"])
def test_want_of_connection_or_resources_backs_off(sales: Flow, sqlstate: str) -> None:
    """The next tick tries once more; from the second failure on there is a pause, which force ignores."""
    sales.seed()
    make_fail(sales, sqlstate, 3)
    assert fails(sales) == sqlstate
    status = "select failures, next_attempt_at > clock_timestamp() from etl.status where pipeline = 'sales'"
    assert sales.warehouse.row(status) == (1, None)
    assert fails(sales) == sqlstate
    assert sales.warehouse.row(status) == (2, True)
    sales.run()
    assert sales.last_run("status, message like '%%next attempt is due at%%'") == ("skipped", True)
    assert fails(sales, force=True) == sqlstate
    assert sales.warehouse.row(status) == (3, True)
    sales.run(force=True)
    assert sales.warehouse.row(status) == (0, None)
    assert runs(sales) == ["failed", "failed", "skipped", "failed", "succeeded"]
    assert attempts(sales, "dim_product")[0][0] == 1
    assert_all_arrived(sales)


def test_pause_doubles_up_to_the_longest(sales: Flow) -> None:
    """The pauses are the settings', with a quarter of jitter either way."""
    wh = sales.warehouse
    wh.execute("update etl.settings set backoff_first = '10 seconds', backoff_longest = '1 minute'")
    pauses = []
    for _ in range(7):
        wh.execute("select etl.back_off('sales', '08006')")
        pauses.append(wh.value("select next_attempt_at - clock_timestamp() from etl.pipeline where pipeline = 'sales'"))
    assert pauses[0] is None
    for pause, mean in zip(pauses[1:], (10, 20, 40, 60, 60, 60), strict=True):
        assert timedelta(seconds=0.74 * mean) < pause < timedelta(seconds=1.25 * mean)
    wh.execute(
        "update etl.pipeline set failures = 100000 where pipeline = 'sales'; select etl.back_off('sales', '08006')"
    )
    assert wh.value("select failures from etl.pipeline where pipeline = 'sales'") == 100001


def test_another_failure_ends_the_back_off(sales: Flow) -> None:
    """A run that reached its data was connected: a failure of another kind clears the count."""
    sales.seed()
    set_source(sales, port="1")
    fails(sales)
    fails(sales)
    set_source(sales, port=str(sales.operational.server.port))
    make_fail(sales, "22012", 1)
    assert fails(sales, force=True) == "22012"
    assert sales.warehouse.row("select failures, next_attempt_at from etl.status where pipeline = 'sales'") == (0, None)


def test_back_off_is_a_pipelines_own(sales: Flow) -> None:
    """A pipeline that backs off holds up no other, and the run of all succeeds meanwhile."""
    sales.operational.execute("create table public.orders (id int primary key); insert into public.orders values (1)")
    sales.add_table("public.orders", "orders")
    sales.warehouse.execute(
        "update etl.pipeline set failures = 2, next_attempt_at = now() + interval '1 hour' where pipeline = 'sales'"
    )
    sales.run(None)
    assert sales.last_run() == ("skipped",)
    assert sales.last_run(pipeline="orders") == ("succeeded",)
    sales.assert_mirror_equals_source("public.orders")


def test_loop_waits_too(sales: Flow) -> None:
    """A loop of runs starts none while the pipeline backs off, and does not fill the log with skipped ones."""
    sales.warehouse.execute(
        "update etl.pipeline set failures = 2, next_attempt_at = now() + interval '1 hour' where pipeline = 'sales'"
    )
    sales.warehouse.execute("call etl.run_loop('sales', '100 milliseconds', '500 milliseconds')")
    assert runs(sales) == []


def test_a_lock_held_for_the_whole_run(sales: Flow) -> None:
    """Every attempt meets the lock: the batch that was captured waits, and the next run publishes it."""
    sales.seed()
    sales.warehouse.execute("update etl.settings set retry_pause = '20 milliseconds', retry_attempts = 1")
    with sales.warehouse.connect() as session:
        session.execute("set lock_timeout = '100ms'")
        with locked(sales.warehouse, "dwh.dim_product"):
            run = BackgroundRun(session, "call etl.run('sales')")
            with raises("55P03"):
                run.finish()
    sales.assert_mirrors_equal_source()
    assert sales.warehouse.query("select published_at from etl.batch") == [(None,)]
    sales.run()
    assert_all_arrived(sales)
