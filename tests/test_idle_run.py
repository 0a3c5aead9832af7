"""A run with nothing to do ends after one look at its source, and that look still sees whatever there is to do."""

from __future__ import annotations

import pytest
from psycopg import pq

from tests.capture import PIPELINE, add_log_table, copies, gaps, logged, publications, slots
from tests.conftest import SOURCE_ROLE
from tests.support import Flow, raises, wait_until
from tests.test_log_capture import KEYED, KEYLESS, ROWS

BATCHES = "select count(*) from etl.batch"
STEPS = "select phase, step, batch_id, status from etl.step_log where run_id = (select max(run_id) from etl.run_log)"
OTHER = "create table public.other (a text)"
WRITE_ELSEWHERE = "insert into public.other select repeat('x', 1000) from generate_series(1, %s)"
BEHIND = "select pg_current_wal_flush_lsn() - confirmed_flush_lsn from pg_catalog.pg_replication_slots"


@pytest.fixture(params=["unwritten", "written elsewhere"])
def idle(request: pytest.FixtureRequest, source: Flow) -> Flow:
    """Return a source with nothing to do, at which nothing was written since, or something that is not captured."""
    logged(source, KEYED, ROWS, OTHER)
    rest(source)
    if request.param == "written elsewhere":
        source.operational.execute(WRITE_ELSEWHERE % 10)
    return source


def rest(flow: Flow) -> None:
    """Run until nothing is left to do, and see that such a run makes no batch."""
    flow.run(PIPELINE)
    before = flow.warehouse.value(BATCHES)
    flow.run(PIPELINE)
    assert flow.warehouse.value(BATCHES) == before


def test_what_it_logs_and_moves(idle: Flow) -> None:
    """It succeeds with one step and no batch; the position is the end of WAL, and dwh is as fresh as the look."""
    batches, moment = idle.warehouse.row("select count(*), clock_timestamp() from etl.batch")
    written = idle.operational.value("select pg_current_wal_flush_lsn()")
    idle.run(PIPELINE)
    assert idle.warehouse.query(STEPS) == [("capture", "slot at op", None, "succeeded")]
    assert idle.warehouse.value(BATCHES) == batches
    assert idle.last_run("status, message, first_batch, last_batch", PIPELINE) == (
        "succeeded",
        "0 rows read, 0 changes captured, 0 published, 0 rows quarantined",
        None,
        None,
    )
    position, read_at = idle.warehouse.row("select position::text, read_at from etl.slot")
    assert idle.operational.value("select %s::pg_lsn between %s and pg_current_wal_flush_lsn()", [position, written])
    assert read_at > moment
    assert idle.warehouse.row("select captured_at, slot_lag_bytes from etl.status where pipeline = %s", [PIPELINE]) == (
        read_at,
        0,
    )
    assert idle.warehouse.query("select * from etl.procedure_errors") == []


@pytest.mark.parametrize(("written", "asked"), [(0, 1), (10, 2)])
def test_source_is_asked_once_or_twice(source: Flow, written: int, asked: int) -> None:
    """The source answers one question where nothing was written to its log, and one more where something was."""
    logged(source, KEYED, ROWS, OTHER)
    rest(source)

    def look() -> int | None:
        """Look once; what was asked, if nobody else, such as the server's own processes, wrote to the log meanwhile."""
        source.operational.execute(WRITE_ELSEWHERE % written)
        before = source.operational.value(BEHIND)
        questions = asked_by_look(source)
        after = source.operational.value(BEHIND)
        return questions if (before, after) == (0, 0) or (written and before > 0) else None

    assert wait_until(look) == asked


def asked_by_look(flow: Flow) -> int:
    """Have the warehouse look at a source with nothing to do; return how many questions it asked."""
    counted = (
        "select coalesce(sum(calls), 0)::int from pg_catalog.pg_stat_xact_user_functions"
        " where funcname in ('dblink', 'dblink_send_query')"
    )
    with flow.warehouse.connect(autocommit=False) as session:
        session.execute("set local track_functions = 'all'")
        session.execute("select etl.connect_source('op')")
        assert session.execute("select etl.has_changes(%s, 'op', null)", [PIPELINE]).fetchone() == (False,)
        (questions,) = session.execute(counted).fetchone() or (0,)
        return int(questions)


def test_callback_comes(idle: Flow) -> None:
    """Who waits for the end of runs is told of one that found nothing."""
    idle.warehouse.execute(
        "create table dwh.told (run_id bigint, status text);"
        " create procedure dwh.tell(p_pipeline text, p_run_id bigint, p_status text) language sql"
        " begin atomic insert into dwh.told values (p_run_id, p_status); end;"
        " grant insert on dwh.told to headrace_owner; grant execute on procedure dwh.tell to headrace_owner"
    )
    idle.warehouse.execute("call etl.set_callbacks(%s, on_success => 'dwh.tell')", [PIPELINE])
    idle.run(PIPELINE)
    assert idle.warehouse.query("select run_id, status from dwh.told") == [idle.last_run("run_id, status", PIPELINE)]


def test_dry_run_moves_nothing(idle: Flow) -> None:
    """A dry run leaves the position where it was, and no batch."""
    before = idle.warehouse.query("select s.*, (select max(batch_id) from etl.batch) from etl.slot s")
    idle.run(PIPELINE, dry_run=True)
    assert idle.warehouse.query("select s.*, (select max(batch_id) from etl.batch) from etl.slot s") == before
    assert idle.last_run("status, dry_run", PIPELINE) == ("succeeded", True)


@pytest.mark.parametrize("gap", ["is gone", "stands at", "is another server", "is on timeline", "it was restored"])
def test_gaps(idle: Flow, gap: str) -> None:
    """A slot that is gone or was moved by another, and another source, are noticed and mended without a row."""
    (slot,) = slots(idle)
    match gap:
        case "is gone":
            idle.operational.execute("select pg_drop_replication_slot(%s)", [slot])
        case "stands at":
            idle.operational.execute(WRITE_ELSEWHERE % 1)
            idle.operational.execute("select pg_replication_slot_advance(%s, pg_current_wal_flush_lsn())", [slot])
        case "is another server":
            idle.warehouse.execute("update etl.slot set system_identifier = 1")
        case "is on timeline":
            idle.warehouse.execute("update etl.slot set timeline = 9")
        case _:
            idle.warehouse.execute("update etl.slot set position = 'FFFF/0'")
    compared = copies(idle)
    idle.run(PIPELINE)
    (message,) = gaps(idle)
    assert gap in message
    assert copies(idle) != compared
    rest(idle)


def test_slot_that_another_session_reads(idle: Flow) -> None:
    """A slot that another session holds fails the run as it does one with changes."""
    (slot,), (publication,) = slots(idle), publications(idle)
    reading = f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names '{publication}')"
    holder = pq.PGconn.connect(f"{idle.operational.dsn}?replication=database".encode())
    try:
        assert holder.exec_(reading.encode()).status == pq.ExecStatus.COPY_BOTH
        wait_until(lambda: idle.operational.value("select active from pg_catalog.pg_replication_slots"))
        with raises("55006", message="is active for PID"):
            idle.run(PIPELINE)
    finally:
        holder.finish()


CHANGED = {
    "column added": "alter table public.t add c int",
    "column dropped": "alter table public.t drop b",
    "column renamed": "alter table public.t rename b to c",
    "type changed": "alter table public.t alter b type varchar(40)",
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("policy", ["stop", "evolve"])
def test_changed_columns(source: Flow, change: str, policy: str) -> None:
    """Columns that changed without a row are taken over, or stop the run, each time until they are accepted."""
    logged(source, KEYED, ROWS, on_schema_change=policy)
    rest(source)
    source.operational.execute(change)
    if policy == "stop":
        for _ in range(2):
            with raises("55000", message="is not what was registered"):
                source.run(PIPELINE)
        source.warehouse.execute("call etl.accept_columns('op', 'public.t')")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    rest(source)


def test_changed_partitions(source: Flow) -> None:
    """Attaching and detaching a partition sends nothing over the slot, and has the table compared."""
    logged(
        source,
        "create table public.t (id int, a text, primary key (id)) partition by range (id)",
        "create table public.t1 partition of public.t for values from (0) to (100)",
        "create table public.t2 (id int primary key, a text); insert into public.t2 values (100, 'attached')",
    )
    rest(source)
    for change in ("attach partition public.t2 for values from (100) to (200)", "detach partition public.t2"):
        source.operational.execute(f"alter table public.t {change}")
        source.run(PIPELINE)
        source.assert_mirror_equals_source("public.t")
        rest(source)


def test_table_that_is_no_longer_published(source: Flow) -> None:
    """It is refused, and compared once it is back."""
    logged(source, KEYED, ROWS)
    rest(source)
    (publication,) = publications(source)
    source.operational.execute(f"alter publication {publication} drop table public.t")
    for _ in range(2):
        with raises("55000", message="no longer publishes", hint="add table public.t"):
            source.run(PIPELINE)
    source.operational.execute("update public.t set a = 'unpublished' where id = 1")
    source.operational.execute(f"alter publication {publication} add table public.t")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    rest(source)


def test_dropped_table(source: Flow) -> None:
    """A table that is gone is named, with no row to be read."""
    logged(source, KEYED, ROWS, "create table public.u (id int primary key)", tables=("public.t", "public.u"))
    rest(source)
    source.operational.execute("drop table public.u")
    with raises("42P01", message="has no table public.u"):
        source.run(PIPELINE)


def test_right_that_was_taken_away(source: Flow) -> None:
    """A role that may no longer read slots fails the run, though none of its tables was written to."""
    logged(source, KEYED, ROWS)
    rest(source)
    source.operational.execute(f"alter role {SOURCE_ROLE} noreplication")
    try:
        for _ in range(2):
            with raises("42501", message="replication"):
                source.run(PIPELINE)
    finally:
        source.operational.execute(f"alter role {SOURCE_ROLE} replication")
    rest(source)


def test_changes_of_every_age(source: Flow) -> None:
    """Rows arrive whether their transaction began before the look and ended after it, or is large, or came alone."""
    logged(source, KEYLESS, ROWS, OTHER)
    rest(source)
    with source.operational.connect(autocommit=False) as writer:
        writer.execute("insert into public.t values (50, 'open', null)")
        source.operational.execute(WRITE_ELSEWHERE % 1)
        rest(source)
        writer.commit()
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    for change in ("insert into public.t select n from generate_series(1, 60000) n", "truncate public.t"):
        rest(source)
        source.operational.execute(change)
        source.run(PIPELINE)
        source.assert_mirror_equals_source("public.t")


def test_slot_never_lags_far(source: Flow) -> None:
    """What others write is let go: little of it with the next look, much of it by a batch at once."""
    logged(source, KEYED, ROWS, OTHER)
    for rows in (20, 20000, 20, 0):
        source.operational.execute(WRITE_ELSEWHERE % rows)
        source.run(PIPELINE)
        assert source.operational.value(BEHIND) < 5_000_000

    def follows() -> bool:
        """Run once more, and see whether the slot has followed; the server's own processes write to the log as well."""
        source.run(PIPELINE)
        return bool(source.operational.value(BEHIND) == 0)

    wait_until(follows)


# ----------------------------------------------------------------------------------------------------------------------
# What waits in the warehouse
# ----------------------------------------------------------------------------------------------------------------------
def test_batch_that_waits(idle: Flow) -> None:
    """A batch that was captured and not published is published though nothing new came."""
    idle.operational.execute("insert into public.t values (20, 'waits', null)")
    idle.warehouse.execute("call mrr.capture(%s)", [PIPELINE])
    idle.run(PIPELINE)
    assert idle.warehouse.query("select from etl.batch where published_at is null") == []
    assert idle.last_run("last_batch", PIPELINE) == idle.warehouse.row("select max(batch_id) from etl.batch")


def test_comparison_that_was_asked_for(idle: Flow) -> None:
    """A table that is to be compared is compared."""
    idle.warehouse.execute("update mrr.t set a = 'tampered' where id = 1")
    idle.warehouse.execute("select etl.request_resync(%s, '{t}')", [PIPELINE])
    idle.run(PIPELINE)
    idle.assert_mirror_equals_source("public.t")


def test_table_added(idle: Flow) -> None:
    """A table that was registered since is copied."""
    idle.operational.execute("create table public.u (id int primary key); insert into public.u values (1)")
    add_log_table(idle, "public.u")
    idle.run(PIPELINE)
    idle.assert_mirror_equals_source("public.u")
    rest(idle)


def test_table_of_another_mode(idle: Flow) -> None:
    """One table of another mode has each run read it."""
    idle.operational.execute("create table public.f (id int primary key)")
    idle.add_table("public.f", PIPELINE)
    for number in range(3):
        idle.operational.execute("insert into public.f values (%s)", [number])
        idle.run(PIPELINE)
        idle.assert_mirror_equals_source("public.f")


def test_no_table_left(idle: Flow) -> None:
    """A pipeline whose tables are all left out is refused."""
    idle.warehouse.execute("call etl.set_enabled('op', 'public.t', false)")
    with raises("55000", message="has no enabled table"):
        idle.run(PIPELINE)


def test_mirror_without_its_index(source: Flow) -> None:
    """The index of a copy that could not be made after it is made by the next run."""
    logged(source, KEYLESS, ROWS)
    rest(source)
    index = "select count(*) from pg_catalog.pg_index where indrelid = 'mrr.t'::regclass and indisprimary"
    assert source.warehouse.value(index) == 1
    source.warehouse.execute("alter table mrr.t drop constraint t_pkey")
    source.run(PIPELINE)
    assert source.warehouse.value(index) == 1
