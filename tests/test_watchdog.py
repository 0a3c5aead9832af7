"""Timeouts of runs and steps, which hold also while a run waits for its source."""

from __future__ import annotations

import pytest

from tests.faults import assert_all_arrived, assert_clean, runs
from tests.support import BackgroundRun, Flow, locked, raises, wait_until, waiting_for_lock


@pytest.mark.parametrize("phase", ["capture", "publish"])
@pytest.mark.parametrize("limit", ["run", "step"])
def test_overdue_run_is_canceled(sales: Flow, phase: str, limit: str) -> None:
    """The job's call cancels a run that waits for its source or for a lock here; it is logged, and the next has all."""
    sales.seed()
    place = (sales.operational, "public.sales") if phase == "capture" else (sales.warehouse, "dwh.dim_product")
    with locked(*place):
        run = sales.start(user="headrace_runner")
        waiting_for_lock(*place)
        with sales.warehouse.connect("headrace_runner") as runner:
            runner.execute("call etl.cancel_overdue()")
            assert run.is_working
            sales.warehouse.execute(f"call etl.set_timeouts('sales', {limit} => '1 second')")
            ((run_id, pid, reason),) = wait_until(
                lambda: sales.warehouse.query("select * from etl.overdue()"), what="the limit"
            )
            assert (run_id, pid) == (1, run.pid)
            assert reason.endswith("has taken longer than 00:00:01")
            runner.execute("call etl.cancel_overdue()")
        with raises("57014", message="was canceled"):
            run.finish()
    assert runs(sales) == ["canceled"]
    assert sales.warehouse.query(
        "select status from etl.step_log where step = %s", ["sales" if phase == "capture" else "dim_product"]
    ) == [("canceled",)]
    assert_clean(sales)
    sales.warehouse.execute("call etl.set_timeouts('sales')")
    sales.run()
    assert_all_arrived(sales)


def test_in_time(sales: Flow) -> None:
    """A run within its limits, and one without any, is left alone."""
    sales.seed()
    with locked(sales.operational, "public.sales"):
        run = sales.start()
        waiting_for_lock(sales.operational, "public.sales")
        assert sales.warehouse.query("select * from etl.overdue()") == []
        sales.warehouse.execute("call etl.set_timeouts('sales', run => '1 hour', step => '1 hour')")
        assert sales.warehouse.query("select * from etl.overdue()") == []
        sales.warehouse.execute("call etl.cancel_overdue()")
    run.finish()
    assert runs(sales) == ["succeeded"]


def test_only_the_overdue_pipeline(sales: Flow) -> None:
    """Of two runs at work, only the one whose pipeline has a limit is canceled."""
    sales.operational.execute("create table public.orders (id int primary key)")
    sales.add_table("public.orders", "orders")
    with locked(sales.operational, "public.sales"), locked(sales.operational, "public.orders"):
        overdue, patient = sales.start(), sales.start("orders")
        waiting_for_lock(sales.operational, "public.sales")
        waiting_for_lock(sales.operational, "public.orders")
        sales.warehouse.execute("call etl.set_timeouts('sales', run => '1 microsecond'); call etl.cancel_overdue()")
        with raises("57014"):
            overdue.finish()
        assert patient.is_working
    patient.finish()
    assert sales.last_run(pipeline="orders") == ("succeeded",)


def test_session_of_somebody_else(sales: Flow) -> None:
    """The role of the jobs may not cancel an administrator's session: it says whose, and what to do."""
    sales.warehouse.execute("call etl.set_timeouts('sales', run => '1 microsecond')")
    said: list[str] = []
    with locked(sales.operational, "public.sales"):
        run = sales.start()
        waiting_for_lock(sales.operational, "public.sales")
        with sales.warehouse.connect("headrace_runner") as runner:
            runner.add_notice_handler(lambda notice: said.append(f"{notice.message_primary} {notice.message_hint}"))
            runner.execute("call etl.cancel_overdue()")
        assert run.is_working
    run.finish()
    assert [f"pg_cancel_backend({run.pid})" in text for text in said] == [True]


def test_dead_run_cancels_nobody(sales: Flow) -> None:
    """The row of a run that died names a backend; whoever has its number now is left alone."""
    sales.warehouse.execute("call etl.set_timeouts('sales', run => '1 microsecond')")
    with sales.warehouse.connect() as session:
        sales.warehouse.execute(
            "insert into etl.run_log (pipeline, action, status, started_by, started_from, backend_pid)"
            " values ('sales', 'run', 'running', 'x', 'x', %s)",
            [session.info.backend_pid],
        )
        innocent = BackgroundRun(session, "select pg_catalog.pg_sleep(0.5)")
        assert sales.warehouse.query("select * from etl.overdue()") == []
        sales.warehouse.execute("call etl.cancel_overdue()")
        innocent.finish()


def test_set_timeouts_of_an_unknown_pipeline(sales: Flow) -> None:
    """It is refused by name."""
    with raises("42704", message="there is no pipeline nope"):
        sales.warehouse.execute("call etl.set_timeouts('nope', run => '1 hour')")


def test_the_job_is_deployed(cron_warehouse: Flow) -> None:
    """pg_cron calls the watchdog every minute, as the role whose sessions it may cancel."""
    assert cron_warehouse.warehouse.query(
        "select schedule, username from cron.job where command = 'call etl.cancel_overdue()'"
        " and database = current_database()"
    ) == [("* * * * *", "headrace_runner")]
