"""etl.purge(): what is old goes, what is running, newest or somebody else's stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import Database, Flow, raises

JOBS = Path(__file__).resolve().parent.parent / "jobs" / "warehouse"
RUN = """
    insert into etl.run_log (pipeline, action, status, started_by, started_from, backend_pid, started_at, finished_at)
    values (%(pipeline)s, 'run', %(status)s, 'headrace_runner', 'psql', 1, now() - %(age)s::interval,
            case when %(status)s <> 'running' then now() - %(age)s::interval end)
    returning run_id"""
STEP = """
    insert into etl.step_log (run_id, phase, step, status, started_at, finished_at)
    values (%s, 'capture', 'sales', 'succeeded', now(), now())"""
ERROR = """
    insert into etl.procedure_errors (run_id, routine, sqlstate, message, occurred_at)
    values (%s, 'etl.run', '22012', 'division by zero', now() - %s::interval)"""


def add_run(warehouse: Database, age: str, status: str = "succeeded", pipeline: str = "sales") -> int:
    """Log a run that ended, or began if it is running, so long ago, with a step and an error."""
    run_id: int = warehouse.value(RUN, {"pipeline": pipeline, "status": status, "age": age})
    warehouse.execute(STEP, [run_id])
    warehouse.execute(ERROR, [run_id, age])
    return run_id


def runs(warehouse: Database) -> list[int]:
    """Return the logged runs, and see that each still has its step and its error."""
    kept = [run_id for (run_id,) in warehouse.query("select run_id from etl.run_log order by run_id")]
    for table in ("step_log", "procedure_errors"):
        assert warehouse.query(f"select run_id from etl.{table} where run_id is not null order by 1") == [
            (r,) for r in kept
        ]
    return kept


def test_old_runs_go_with_all_they_logged(warehouse: Database) -> None:
    """Runs older than the retention go, whatever their outcome; younger, running and newest ones stay."""
    for status in ("succeeded", "failed", "skipped", "canceled", "aborted"):
        add_run(warehouse, "91 days", status)
    kept = [
        add_run(warehouse, "91 days", "running"),
        add_run(warehouse, "89 days", "failed"),
        add_run(warehouse, "1 minute"),
        add_run(warehouse, "400 days", "failed", pipeline="resting"),
    ]
    warehouse.execute("call etl.purge()")
    assert runs(warehouse) == kept
    warehouse.execute("call etl.purge()")
    assert runs(warehouse) == kept


def test_retention_is_a_setting(warehouse: Database) -> None:
    """A shorter retention is obeyed by the next call."""
    add_run(warehouse, "2 days")
    newest = add_run(warehouse, "3 hours")
    warehouse.execute("update etl.settings set log_retention = '1 day'")
    warehouse.execute("call etl.purge()")
    assert runs(warehouse) == [newest]


def test_errors_outside_runs_go_by_their_own_age(warehouse: Database) -> None:
    """An error that belongs to no run goes when it is old."""
    warehouse.execute(ERROR, [None, "91 days"])
    warehouse.execute(ERROR, [None, "1 day"])
    warehouse.execute("call etl.purge()")
    assert warehouse.query("select now() - occurred_at < '2 days' from etl.procedure_errors") == [(True,)]


def test_empty_batches_go_once_a_later_one_is_published(warehouse: Database) -> None:
    """Published captures without a change go, but not the newest one, nor what waits or holds rows."""
    batch = """
        insert into etl.batch (pipeline, kind, captured_at, rows_changed, published_at)
        values ('sales', %s, now(), %s, case when %s then now() end) returning batch_id"""
    numbers = [
        warehouse.value(batch, list(values))
        for values in (
            ("capture", 0, True),
            ("capture", 5, True),
            ("capture", 0, True),
            ("replay", 0, True),
            ("capture", 0, True),
            ("capture", 0, False),
        )
    ]
    source = """
        insert into etl.batch_source (batch_id, source, captured_at, snapshot, lsn)
        values (%s, 'op', now(), '1:1:', '0/1')"""
    for number in numbers:
        warehouse.execute(source, [number])
    warehouse.execute("call etl.purge()")
    for table in ("batch", "batch_source"):
        assert warehouse.query(f"select batch_id from etl.{table} order by 1") == [
            (numbers[position],) for position in (1, 3, 4, 5)
        ]


def test_purge_is_for_the_runner(warehouse: Database) -> None:
    """The runner may, without a right on any table; monitor and reader may not."""
    add_run(warehouse, "91 days")
    newest = add_run(warehouse, "1 day")
    for role in ("headrace_monitor", "headrace_reader"):
        with warehouse.connect(role) as session, raises("42501"):
            session.execute("call etl.purge()")
    with warehouse.connect("headrace_runner") as session:
        with raises("42501"):
            session.execute("delete from etl.run_log")
        session.execute("call etl.purge()")
    assert runs(warehouse) == [newest]


@pytest.mark.parametrize("job", ["purge", "insert_procedure_info"])
def test_job_is_a_call_that_works(warehouse: Database, job: str) -> None:
    """The job's file gives a schedule, a command, and a role that may run it."""
    schedule, command, username = warehouse.row((JOBS / f"{job}.sql").read_text(encoding="utf-8"))
    assert warehouse.value("select etl.next_tick(%s) is not null", [schedule])
    with warehouse.connect(username) as session:
        session.execute(command)


DETAIL = """
    insert into cron.job_run_details (jobid, database, username, command, status, start_time, end_time)
    values (%s, %s, %s, 'call etl.run()', %s, now() - %s::interval, now() - %s::interval) returning runid"""


def add_detail(
    warehouse: Database, job: int, age: str | None, *, status: str = "succeeded", place: tuple[str, str] | None = None
) -> int:
    """Write what pg_cron writes of a run of a job: in this database by headrace_runner unless said otherwise."""
    database, username = place or (warehouse.name, "headrace_runner")
    run: int = warehouse.value(DETAIL, [job, database, username, status, age, age])
    return run


@pytest.mark.parametrize("caller", ["headrace_runner", "superuser"])
def test_run_details_of_own_jobs_go(cron_warehouse: Flow, caller: str) -> None:
    """Old details of this warehouse's jobs go, and of its jobs that are gone; nobody else's."""
    warehouse = cron_warehouse.warehouse
    warehouse.execute("grant usage on schema cron to headrace_runner")
    own = warehouse.value(
        "select jobid from cron.job"
        " where jobname = 'headrace:' || etl.warehouse_id() || ':purge' and username = 'headrace_runner'"
    )
    warehouse.execute(
        "select cron.schedule_in_database("
        "'headrace:ffffffff:run', '0 0 1 1 *', 'select 1', current_database(), 'headrace_runner')"
    )
    other = warehouse.value("select cron.schedule('somebody''s', '0 0 1 1 *', 'select 1')")
    clone = warehouse.value("select jobid from cron.job where jobname = 'headrace:ffffffff:run'")
    gone = [
        add_detail(warehouse, own, "8 days"),
        add_detail(warehouse, own, None, status="failed"),
        add_detail(warehouse, 999_999, "8 days"),
        add_detail(warehouse, own, "8 days", status="failed"),
    ]
    kept = [
        add_detail(warehouse, own, "8 days", status="running"),
        add_detail(warehouse, clone, "8 days"),
        add_detail(warehouse, other, "8 days", place=(warehouse.name, warehouse.server.user)),
        add_detail(warehouse, 999_999, "8 days", place=("elsewhere", "headrace_runner")),
        add_detail(warehouse, own, "6 days"),
        add_detail(warehouse, own, None, status="failed"),
    ]
    with warehouse.connect(None if caller == "superuser" else caller) as session:
        session.execute("call etl.purge()")
    left = {
        run
        for (run,) in warehouse.query("select runid from cron.job_run_details where runid = any (%s)", [gone + kept])
    }
    assert left == set(kept)


def test_warns_where_cron_is_closed(cron_warehouse: Flow) -> None:
    """Without the right to use pg_cron's schema the log is purged all the same, with a warning that says what to do."""
    warehouse = cron_warehouse.warehouse
    warehouse.execute("revoke usage on schema cron from headrace_runner, public")
    add_run(warehouse, "91 days")
    newest = add_run(warehouse, "1 day")
    notices = []
    try:
        with warehouse.connect("headrace_runner") as session:
            session.add_notice_handler(lambda n: notices.append((n.severity_nonlocalized, n.message_hint)))
            session.execute("call etl.purge()")
    finally:
        warehouse.execute("grant usage on schema cron to headrace_runner")
    assert runs(warehouse) == [newest]
    assert notices == [("WARNING", "As administrator: grant usage on schema cron to headrace_runner;")]
