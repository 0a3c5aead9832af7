"""A run from end to end: what arrives, what is logged, and what is left when it fails, is cancelled or is killed."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg import sql

from tests.support import Flow, Row, locked, raises, wait_until, waiting_for_lock

LOADED = ("mrr.customers", "mrr.products", "mrr.sales", "dwh.dim_customer", "dwh.dim_product", "dwh.fact_sales")


def row_versions(flow: Flow) -> list[Row]:
    """Return where each row of the loaded tables lies and which transaction wrote it."""
    return [
        row for table in LOADED for row in flow.warehouse.query(f"select tableoid, ctid, xmin, xmax::text from {table}")
    ]


def errors_of_last_run(flow: Flow) -> list[Row]:
    """Return SQLSTATE, step, message and routine of what the newest run of the sample logged."""
    return flow.warehouse.query(
        "select sqlstate, step, message, routine from etl.procedure_errors"
        " where run_id = (select max(run_id) from etl.run_log where pipeline = 'sales') order by error_id"
    )


def steps_of_last_run(flow: Flow) -> dict[tuple[str, str], str]:
    """Return the status of each step of the newest run, by phase and step."""
    rows = flow.warehouse.query(
        "select phase, step, status from etl.step_log where run_id = (select max(run_id) from etl.run_log)"
    )
    return {(phase, step): status for phase, step, status in rows}


# ----------------------------------------------------------------------------------------------------------------------
# What arrives
# ----------------------------------------------------------------------------------------------------------------------
def test_first_load(sales: Flow) -> None:
    """Everything arrives: mirrors, dimensions, facts, quarantine and aggregates."""
    sales.seed()
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()
    assert sales.last_run() == ("succeeded",)


def test_empty_source(sales: Flow) -> None:
    """A run over empty tables succeeds and moves nothing."""
    sales.run()
    assert sales.last_run() == ("succeeded",)
    assert sales.warehouse.query("select * from dwh.fact_sales") == []


def test_unchanged_second_run_moves_nothing(sales: Flow) -> None:
    """No row is written anew, and the log says so."""
    sales.seed()
    sales.run()
    before = row_versions(sales)
    sales.run()
    assert row_versions(sales) == before
    assert sales.warehouse.query(
        "select sum(rows_inserted), sum(rows_updated), sum(rows_deleted), sum(rows_quarantined) from etl.step_log"
        " where run_id = (select max(run_id) from etl.run_log)"
    ) == [(0, 0, 0, 0)]


@pytest.mark.parametrize(
    "change",
    [
        "insert into public.customers values (4, 'Dan', 'NO')",
        "insert into public.sales values (1, 1, 2), (1, 1, 2), (1, 1, 2), (2, 2, 9)",
        "update public.customers set country = 'US' where id = 1",
        "update public.customers set id = 33 where id = 3",
        "update public.products set name = 'Band saw', groupname = null where id = 1",
        "update public.sales set qty = qty + 1",
        "delete from public.sales where ctid = (select min(ctid) from public.sales where qty = 2)",
        "delete from public.customers; delete from public.products",
        "delete from public.sales",
        "truncate public.sales",
        "truncate public.customers, public.products, public.sales",
        "truncate public.sales; insert into public.sales values (1, 1, 2), (5, 5, 5)",
        "delete from public.sales where qty = 0; insert into public.sales values (1, 1, 0)",
        "update public.sales set customerId = 2 where customerId is null",
    ],
)
def test_changes_arrive(sales: Flow, change: str) -> None:
    """Inserts, updates, deletes, TRUNCATE and duplicates arrive in mirrors and facts."""
    sales.seed()
    sales.run()
    sales.operational.execute(change)
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


def test_dry_run_leaves_nothing(sales: Flow) -> None:
    """A dry run does everything, reports it, and rolls it back."""
    sales.seed()
    before = row_versions(sales)
    sales.run(dry_run=True)
    assert row_versions(sales) == before
    assert sales.last_run("status, dry_run") == ("succeeded", True)
    assert sales.warehouse.value("select sum(rows_inserted) from etl.step_log where step = 'sales'") == 13
    assert sales.warehouse.query("select * from etl.batch") == []
    sales.run()
    sales.assert_facts_equal_model()


def test_phases_alone(sales: Flow) -> None:
    """Capture and publish can be called alone, and each logs a run."""
    sales.seed()
    sales.warehouse.execute("call mrr.capture('sales')")
    sales.assert_mirrors_equal_source()
    assert sales.warehouse.query("select * from dwh.fact_sales") == []
    sales.warehouse.execute("call dwh.publish('sales')")
    sales.assert_facts_equal_model()
    assert sales.warehouse.query("select action, status from etl.run_log order by run_id") == [
        ("capture", "succeeded"),
        ("publish", "succeeded"),
    ]


# ----------------------------------------------------------------------------------------------------------------------
# The log
# ----------------------------------------------------------------------------------------------------------------------
def test_log_of_a_success(sales: Flow) -> None:
    """The run, its steps and their rows are logged, with who started it and from where."""
    sales.seed()
    with sales.warehouse.connect("headrace_runner", application_name="a person") as runner:
        runner.execute("call etl.run('sales')")
        assert runner.execute("show application_name").fetchone() == ("a person",)
    assert sales.last_run("status, action, started_by, started_from, dry_run, finished_at >= started_at") == (
        "succeeded",
        "run",
        "headrace_runner",
        "a person",
        False,
        True,
    )
    steps = {
        step: counts
        for step, *counts in sales.warehouse.query(
            "select step, phase, status, attempt, rows_read, rows_inserted, rows_quarantined, finished_at >= started_at"
            " from etl.step_log"
        )
    }
    assert steps["customers"] == ["capture", "succeeded", 1, 3, 3, 0, True]
    assert steps["sales"] == ["capture", "succeeded", 1, 13, 13, 0, True]
    assert steps["judge"][5] == 6
    assert steps["dim_customer"][4] == 3
    assert steps["fact_sales"][4] == 7
    assert sales.warehouse.query("select * from etl.procedure_errors") == []


def test_failing_capture(sales: Flow) -> None:
    """The SQLSTATE of the source survives, the log says what and where, nothing moved, and the next run mends it."""
    sales.seed()
    sales.run()
    sales.operational.execute("insert into public.customers values (4, 'Dan', 'NO')")
    sales.operational.execute("revoke select on public.sales from headrace_source")
    before = row_versions(sales)
    with raises("42501", message="sales"):
        sales.run()
    assert row_versions(sales) == before
    assert sales.last_run("status, finished_at is not null, message like '%%permission denied%%'") == (
        "failed",
        True,
        True,
    )
    ((sqlstate, step, message, routine),) = errors_of_last_run(sales)
    assert (sqlstate, step, routine) == ("42501", "sales", "mrr.capture")
    assert "permission denied" in message
    steps = steps_of_last_run(sales)
    assert steps["capture", "customers"] == "rolled_back"
    assert steps["capture", "sales"] == "failed"

    sales.operational.execute("grant select on public.sales to headrace_source")
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


def test_failing_publish_leaves_what_was_captured(sales: Flow) -> None:
    """The captured batch waits, dwh stays as it was, and the next run brings both batches over, once each."""
    sales.seed()
    sales.run()
    facts = sales.warehouse.query("select * from dwh.fact_sales order by sale_key")
    sales.warehouse.execute("alter table dwh.fact_sales add constraint small check (qty < 100)")
    sales.operational.execute("insert into public.sales values (1, 1, 100), (1, 1, 1)")
    with raises("23514", message="small"):
        sales.run()
    sales.assert_mirrors_equal_source()
    assert sales.warehouse.query("select * from dwh.fact_sales order by sale_key") == facts
    assert sales.warehouse.value("select pending_changes from etl.status where pipeline = 'sales'") == 2
    assert steps_of_last_run(sales)["publish", "fact_sales"] == "failed"
    assert [row[:2] for row in errors_of_last_run(sales)] == [("23514", "fact_sales")]

    sales.operational.execute("insert into public.sales values (2, 2, 2)")
    sales.warehouse.execute("alter table dwh.fact_sales drop constraint small")
    sales.run()
    sales.assert_facts_equal_model()
    assert sales.warehouse.value("select pending_changes from etl.status where pipeline = 'sales'") == 0


def test_a_later_batch_mends_what_an_earlier_one_got_wrong(sales: Flow) -> None:
    """All waiting batches are published together, so a row that would fail may leave with the next batch."""
    sales.seed()
    sales.run()
    sales.warehouse.execute("alter table dwh.sales_by_product add constraint small check (units < 1000) not valid")
    sales.operational.execute("insert into public.sales values (1, 1, 1000)")
    with raises("23514"):
        sales.run()
    sales.operational.execute("delete from public.sales where qty = 1000")
    sales.warehouse.execute("alter table dwh.sales_by_product drop constraint small")
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


def test_unknown_pipeline(sales: Flow) -> None:
    """The error names the pipeline and says which there are."""
    with raises("42704", message="nonsense", hint="sales"):
        sales.run("nonsense")


def test_inside_a_transaction(sales: Flow) -> None:
    """A run commits, so it refuses to work inside a transaction block, and leaves no lock behind."""
    with sales.warehouse.connect(autocommit=False) as session:
        with raises("2D000"):
            session.execute("call etl.run('sales')")
        session.rollback()
        sales.run()
    assert sales.last_run() == ("succeeded",)


# ----------------------------------------------------------------------------------------------------------------------
# Two sessions, lost sessions
# ----------------------------------------------------------------------------------------------------------------------
def test_second_session_is_skipped(sales: Flow) -> None:
    """While one session runs the pipeline, another one's run is logged as skipped and is no error."""
    sales.seed()
    with locked(sales.operational, "public.sales"):
        first = sales.start()
        waiting_for_lock(sales.operational, "public.sales")
        sales.run()
        assert sales.warehouse.query("select status from etl.run_log order by run_id") == [("running",), ("skipped",)]
    first.finish()
    assert sales.warehouse.query("select status from etl.run_log order by run_id") == [("succeeded",), ("skipped",)]
    sales.assert_facts_equal_model()


def test_pipelines_do_not_wait_for_each_other(sales: Flow) -> None:
    """While one pipeline is held up at the source, another one runs to its end."""
    sales.operational.execute("create table public.orders (id int primary key); insert into public.orders values (1)")
    sales.add_table("public.orders", "orders")
    with locked(sales.operational, "public.sales"):
        held_up = sales.start()
        waiting_for_lock(sales.operational, "public.sales")
        sales.run("orders")
        assert sales.last_run(pipeline="orders") == ("succeeded",)
        assert held_up.is_working
    held_up.finish()
    assert sales.last_run() == ("succeeded",)


@pytest.mark.parametrize(
    "settings",
    [
        "set default_transaction_isolation = 'serializable'",
        "set search_path = ''; set timezone = 'Asia/Tokyo'; set datestyle = 'german, dmy'; set role headrace_runner;"
        " set standard_conforming_strings = off; set client_encoding = latin1; set intervalstyle = iso_8601",
    ],
)
def test_session_settings_do_not_matter(sales: Flow, settings: str) -> None:
    """A run does the same under whatever settings a session has."""
    sales.seed()
    sales.run()
    sales.operational.execute("insert into public.sales values (1, 2, 9); update public.customers set country = 'Öst'")
    with sales.warehouse.connect() as session:
        session.execute(sql.SQL(settings))
        session.execute("call etl.run('sales')")
        session.execute("call etl.run('sales')")
    assert sales.warehouse.query("select rows_changed from etl.batch order by batch_id") == [(19,), (4,), (0,)]
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


def test_progress_is_seen_from_outside(sales: Flow) -> None:
    """Another session sees which table and which step a run is at."""
    sales.seed()
    progress = "select pipeline, phase, step, pid, since <= clock_timestamp() from etl.progress"
    assert sales.warehouse.query(progress) == []
    with (
        sales.warehouse.connect("headrace_monitor") as monitor,
        locked(sales.warehouse, "dwh.dim_product", "share row exclusive"),
    ):
        with locked(sales.operational, "public.sales"):
            run = sales.start()
            waiting_for_lock(sales.operational, "public.sales")
            assert monitor.execute(progress).fetchall() == [("sales", "capture", "sales", run.pid, True)]
        waiting_for_lock(sales.warehouse, "dwh.dim_product")
        assert monitor.execute(progress).fetchall() == [("sales", "publish", "dim_product", run.pid, True)]
    run.finish()
    assert sales.warehouse.query(progress) == []


def test_source_lost_during_capture(sales: Flow) -> None:
    """The source's backend is killed while it is read: the run fails with its details, and the next one mends it."""
    sales.seed()
    with locked(sales.operational, "public.sales"):
        run = sales.start()
        pid = waiting_for_lock(sales.operational, "public.sales")
        sales.operational.execute("select pg_catalog.pg_terminate_backend(%s)", [pid])
        with pytest.raises(psycopg.Error) as caught:
            run.finish()
    state = caught.value.diag.sqlstate
    assert state in ("57P01", "08000", "08006", "08003")
    assert sales.last_run() == ("failed",)
    ((sqlstate, step, message, _),) = errors_of_last_run(sales)
    assert (sqlstate, step) == (state, "sales")
    assert message
    assert sales.warehouse.query("select * from mrr.customers") == []
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


def test_source_that_refuses_connections(sales: Flow) -> None:
    """A source that is not there is logged with its connection error."""
    sales.operational.server.database("postgres").execute(
        f"alter database {sales.operational.name} allow_connections off"
    )
    with pytest.raises(psycopg.Error):
        sales.run()
    assert sales.last_run() == ("failed",)
    assert len(errors_of_last_run(sales)) == 1


@pytest.mark.parametrize("phase", ["capture", "publish"])
def test_cancelled_run(sales: Flow, phase: str) -> None:
    """A cancelled run is logged as canceled, ends with 57014, holds no lock, and the next run mends it."""
    sales.seed()
    database, table = (
        (sales.operational, "public.sales") if phase == "capture" else (sales.warehouse, "dwh.dim_product")
    )
    with locked(database, table):
        run = sales.start()
        waiting_for_lock(database, table)
        sales.warehouse.execute("select pg_catalog.pg_cancel_backend(%s)", [run.pid])
        with raises("57014"):
            run.finish()
    assert sales.last_run() == ("canceled",)
    assert [row[0] for row in errors_of_last_run(sales)] == ["57014"]
    assert sales.warehouse.query("select * from dwh.fact_sales") == []
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


@pytest.mark.parametrize("phase", ["capture", "publish"])
def test_killed_run(sales: Flow, phase: str) -> None:
    """The row of a run whose backend was killed is closed as aborted by the next run, which mends it."""
    sales.seed()
    database, table = (
        (sales.operational, "public.sales") if phase == "capture" else (sales.warehouse, "dwh.dim_product")
    )
    with locked(database, table):
        run = sales.start()
        waiting_for_lock(database, table)
        sales.warehouse.execute("select pg_catalog.pg_terminate_backend(%s)", [run.pid])
        with pytest.raises(psycopg.OperationalError):
            run.finish()
        assert sales.last_run() == ("running",)
    wait_until(
        lambda: not sales.warehouse.query("select from pg_catalog.pg_stat_activity where pid = %s", [run.pid]),
        what="the killed backend's end",
    )
    sales.run()
    assert sales.warehouse.query("select status, finished_at is not null from etl.run_log order by run_id") == [
        ("aborted", True),
        ("succeeded", True),
    ]
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


def test_session_goes_on_after_a_failure(sales: Flow) -> None:
    """The session of a failed run holds no lock, no snapshot at the source and no odd setting."""
    sales.operational.execute("revoke select on public.sales from headrace_source")
    settings = (
        "select name, setting from pg_catalog.pg_settings"
        " where source = 'session' and name <> 'application_name' order by 1"
    )
    with sales.warehouse.connect(application_name="mine") as session:
        before = session.execute(settings).fetchall()
        with raises("42501"):
            session.execute("call etl.run('sales')")
        assert session.execute(settings).fetchall() == before
        assert session.execute("show application_name").fetchone() == ("mine",)
        assert sales.warehouse.query("select from pg_catalog.pg_locks where locktype = 'advisory'") == []
        assert (
            sales.operational.query(
                "select from pg_catalog.pg_stat_activity where usename = 'headrace_source'"
                " and datname = current_database() and backend_xmin is not null"
            )
            == []
        )


# ----------------------------------------------------------------------------------------------------------------------
# Outcomes told: NOTIFY, callbacks, all pipelines
# ----------------------------------------------------------------------------------------------------------------------
def test_notify_on_every_outcome(sales: Flow) -> None:
    """A listener hears of each outcome, with pipeline, run and status."""
    with sales.warehouse.connect() as listener:
        listener.execute("listen headrace")
        sales.run()
        sales.warehouse.execute("call etl.pause('sales')")
        sales.run()
        sales.warehouse.execute("call etl.resume('sales')")
        sales.operational.execute("revoke select on public.sales from headrace_source")
        with raises("42501"):
            sales.run()
        heard = [json.loads(notify.payload) for notify in listener.notifies(timeout=10, stop_after=3)]
    assert [(told["pipeline"], told["status"]) for told in heard] == [
        ("sales", "succeeded"),
        ("sales", "skipped"),
        ("sales", "failed"),
    ]
    assert [told["run_id"] for told in heard] == [
        run_id for (run_id,) in sales.warehouse.query("select run_id from etl.run_log order by run_id")
    ]


@pytest.fixture
def called_back(sales: Flow) -> Flow:
    """Return the sample with callbacks for both outcomes that write down what they are told."""
    sales.warehouse.execute(
        """
        create table dwh.told (callback text, pipeline text, run_id bigint, status text);
        create procedure dwh.note(pipeline text, run_id bigint, status text) language sql
            begin atomic insert into dwh.told values ('note', pipeline, run_id, status); end;
        create procedure dwh.alarm(pipeline text, run_id bigint, status text) language sql
            begin atomic insert into dwh.told values ('alarm', pipeline, run_id, status); end;
        grant all on dwh.told to headrace_owner;
        grant execute on procedure dwh.note, dwh.alarm to headrace_owner;
        update etl.pipeline set on_success = 'dwh.note', on_failure = 'dwh.alarm' where pipeline = 'sales'
        """
    )
    return sales


def test_callbacks(called_back: Flow) -> None:
    """A manual run calls the pipeline's procedure for its outcome."""
    called_back.run()
    called_back.operational.execute("revoke select on public.sales from headrace_source")
    with raises("42501"):
        called_back.run()
    assert called_back.warehouse.query("select * from dwh.told order by run_id") == [
        ("note", "sales", 1, "succeeded"),
        ("alarm", "sales", 2, "failed"),
    ]


def test_failing_callbacks_harm_nothing(called_back: Flow) -> None:
    """What a callback raises is logged; the run keeps its outcome, and a failed run its own SQLSTATE."""
    called_back.seed()
    called_back.warehouse.execute("drop table dwh.told cascade")
    called_back.warehouse.execute(
        """
        create or replace procedure dwh.note(pipeline text, run_id bigint, status text) language plpgsql
            as $$ begin delete from dwh.fact_sales; raise exception 'not my day' using errcode = 'HR999'; end $$;
        create or replace procedure dwh.alarm(pipeline text, run_id bigint, status text) language plpgsql
            as $$ begin perform 1 / 0; end $$;
        grant execute on procedure dwh.note, dwh.alarm to headrace_owner;
        """
    )
    called_back.run()
    assert called_back.last_run() == ("succeeded",)
    called_back.assert_facts_equal_model()
    assert [(state, message) for state, _, message, _ in errors_of_last_run(called_back)] == [("HR999", "not my day")]
    called_back.operational.execute("revoke select on public.sales from headrace_source")
    with raises("42501"):
        called_back.run()
    assert called_back.last_run() == ("failed",)
    assert [state for state, *_ in errors_of_last_run(called_back)] == ["42501", "22012"]
    assert called_back.warehouse.query("select from pg_catalog.pg_locks where locktype = 'advisory'") == []


def test_null_runs_all_pipelines(sales: Flow) -> None:
    """Each pipeline has its turn although the first one fails, and the call ends with the first failure's SQLSTATE."""
    sales.seed()
    sales.operational.execute(
        "create table public.orders (id int primary key, note text); insert into public.orders values (1, 'a')"
    )
    sales.add_table("public.orders", "orders")
    sales.operational.execute("revoke select on public.sales from headrace_source")
    with raises("42501"):
        sales.run(None)
    assert sales.last_run() == ("failed",)
    assert sales.last_run(pipeline="orders") == ("succeeded",)
    sales.assert_mirror_equals_source("public.orders")
    sales.operational.execute("grant select on public.sales to headrace_source")
    sales.run(None)
    sales.assert_facts_equal_model()


# ----------------------------------------------------------------------------------------------------------------------
# Status, pause
# ----------------------------------------------------------------------------------------------------------------------
def test_status(sales: Flow) -> None:
    """One line per pipeline: last outcome, freshness, pending changes, quarantine, schedule, last error."""
    status = (
        "select last_status, pending_changes, quarantined, paused, last_error from etl.status where pipeline = 'sales'"
    )
    assert sales.warehouse.query(status) == [(None, 0, 0, False, None)]
    sales.seed()
    sales.run()
    assert sales.warehouse.query(status) == [("succeeded", 0, 6, False, None)]
    assert sales.warehouse.query(
        "select freshness between interval '0' and interval '1 minute', last_run_id,"
        " last_finished_at <= clock_timestamp() from etl.status where pipeline = 'sales'"
    ) == [(True, 1, True)]
    sales.operational.execute("revoke select on public.sales from headrace_source")
    with raises("42501"):
        sales.run()
    with sales.warehouse.connect("headrace_monitor") as monitor:
        ((last_status, _, _, _, last_error),) = monitor.execute(sql.SQL(status)).fetchall()
    assert last_status == "failed"
    assert "permission denied" in last_error


def test_pause_and_resume(sales: Flow) -> None:
    """Runs of a paused pipeline are logged as skipped, unless forced; resumed, it runs again."""
    sales.seed()
    sales.warehouse.execute("call etl.pause('sales', 'stock taking')")
    sales.run()
    assert sales.last_run("status, message like '%%stock taking%%'") == ("skipped", True)
    sales.run(force=True)
    assert sales.last_run() == ("succeeded",)
    assert sales.warehouse.value("select paused from etl.status where pipeline = 'sales'") is True
    sales.warehouse.execute("call etl.resume('sales')")
    sales.run()
    assert sales.last_run() == ("succeeded",)
