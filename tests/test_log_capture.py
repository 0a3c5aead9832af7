"""Capture by log: every change of a source's tables arrives in its exact form, once, whatever happens in between."""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg import sql

from tests.capture import (
    PIPELINE,
    add_log_table,
    changes,
    copies,
    follow,
    gaps,
    keyed_and_keyless,
    log_sample,
    logged,
    may_replicate,
    publications,
    put_stream,
    remedy,
    slots,
)
from tests.conftest import SOURCE_ROLE, alembic
from tests.support import Database, Flow, Row, locked, raises, wait_until, waiting_for_lock
from tests.test_types import NAMES, TYPES, VALUES

KEYED = "create table public.t (id int primary key, a text, b text)"
KEYLESS = "create table public.t (id int, a text, b text); alter table public.t replica identity full"
ROWS = "insert into public.t select n, 'a' || n, null from generate_series(1, 10) n"
LARGE = "alter table public.t alter b set storage external"


def made(keyed: bool) -> str:
    """Return the statement that makes the table of a test."""
    return KEYED if keyed else KEYLESS


# ----------------------------------------------------------------------------------------------------------------------
# What arrives
# ----------------------------------------------------------------------------------------------------------------------
CHANGES = [
    "insert into public.t values (11, '', null), (12, null, '')",
    "update public.t set a = a || '!' where id < 4",
    "update public.t set a = null, b = '' where id = 1; update public.t set b = null where id = 1",
    "delete from public.t where id > 7",
    "update public.t set id = id + 100 where id > 5",
    "update public.t set id = 20 where id = 1; insert into public.t values (1, 'new', null)",
    "begin; update public.t set id = 0 where id = 1; update public.t set id = 1 where id = 2;"
    " update public.t set id = 2 where id = 0; commit",
    "begin; delete from public.t where id = 3; insert into public.t values (3, 'again', null); commit",
    "begin; insert into public.t values (50, 'x', 'y'); delete from public.t where id = 50; commit",
    "delete from public.t",
    "truncate public.t",
    "truncate public.t; insert into public.t values (1, 'a1', null), (99, 'x', 'y')",
    "begin; insert into public.t values (70, 'gone', null); truncate public.t;"
    " insert into public.t values (2, 'kept', null); update public.t set a = 'kept!' where id = 2; commit;"
    " insert into public.t values (3, 'late', null); delete from public.t where id = 2",
    "begin; truncate public.t; rollback; insert into public.t values (77, 'x', null)",
    "begin; insert into public.t values (60, 'x', null); rollback",
    "begin; insert into public.t values (61, 'x', null); savepoint s; insert into public.t values (62, 'x', null);"
    " rollback to s; savepoint r; insert into public.t values (63, 'x', null); release r; commit",
    "begin; update public.t set a = 'p' where id = 1; prepare transaction 'p'; insert into public.t values (80);"
    " commit prepared 'p'",
    "begin; delete from public.t; prepare transaction 'q'; insert into public.t values (81); rollback prepared 'q'",
]


@keyed_and_keyless
def test_changes_arrive(source: Flow, keyed: bool) -> None:
    """Inserts, updates, deletes, changed keys, TRUNCATE, savepoints and prepared transactions arrive."""
    logged(source, made(keyed), ROWS)
    for change in CHANGES:
        source.operational.execute("delete from public.t")
        source.operational.execute(ROWS)
        follow(source)
        for statement in change.split(";"):
            source.operational.execute(statement)
        follow(source)
    source.operational.execute("insert into public.t values (1000, 'after', null)")
    follow(source)
    assert changes(source) == (1, 0, 0)


@keyed_and_keyless
def test_unchanged_large_values(source: Flow, keyed: bool) -> None:
    """A large value that an update left alone is not sent, and is not lost either."""
    logged(
        source,
        made(keyed),
        LARGE,
        "insert into public.t select n, 'a', repeat(n::text, 9000) from generate_series(1, 8) n",
    )
    for change in (
        "update public.t set a = 'b' where id = 1",
        "update public.t set id = 20 where id = 2",
        "begin; update public.t set a = 'c' where id = 3; update public.t set id = 30 where id = 3;"
        " update public.t set id = 31 where id = 30; update public.t set a = 'd' where id = 31; commit",
        "begin; update public.t set b = repeat('x', 9000) where id = 4; update public.t set a = 'y' where id = 4;"
        " update public.t set id = 40 where id = 4; update public.t set a = 'z' where id = 40; commit",
        "begin; insert into public.t values (50, 'n', repeat('n', 9000)); update public.t set a = 'm' where id = 50;"
        " update public.t set id = 51 where id = 50; commit",
        "begin; delete from public.t where id = 5; insert into public.t values (5, 'again', repeat('5!', 9000));"
        " update public.t set a = 'c' where id = 5; commit",
        "begin; update public.t set id = 61 where id = 6; update public.t set id = 6 where id = 7;"
        " update public.t set id = 7 where id = 61; commit",
        "begin; truncate public.t; insert into public.t values (1, 'a', repeat('t', 9000));"
        " update public.t set a = 'b'; commit",
        "update public.t set b = null where id = 1; update public.t set a = 'b' where id = 1",
    ):
        for statement in change.split(";"):
            source.operational.execute(statement)
        follow(source)


def test_copy_and_cascades(source: Flow) -> None:
    """Rows of COPY and of cascading foreign keys arrive, and several tables of one transaction together."""
    tables = ("public.parent", "public.child")
    logged(
        source,
        "create table public.parent (id int primary key)",
        "create table public.child (id int primary key, parent int references public.parent on update cascade"
        " on delete cascade)",
        tables=tables,
    )
    with source.operational.connection.transaction(), source.operational.connection.cursor() as cursor:
        for table in tables:
            with cursor.copy(f"copy {table} from stdin") as copy:
                for number in range(300):
                    copy.write_row([number] if table == "public.parent" else [number, number])
    follow(source, *tables)
    assert changes(source) == (600, 0, 0)
    source.operational.execute("delete from public.parent where id < 100; update public.parent set id = -id")
    follow(source, *tables)
    source.operational.execute("truncate public.parent cascade")
    follow(source, *tables)
    assert source.warehouse.query("select * from mrr.child") == []


@keyed_and_keyless
def test_all_types(source: Flow, keyed: bool) -> None:
    """Every value arrives in its exact form, in inserts, updates and deletes."""
    columns = [f"c{number}" for number in range(len(VALUES))]
    kinds = ", ".join(f"{column} {kind}" for column, kind in zip(columns, VALUES, strict=True))
    logged(
        source,
        TYPES,
        f"create table public.t (id int {'primary key' if keyed else ''}, {kinds})",
        "alter table public.t replica identity full",
    )
    for row in range(max(map(len, VALUES.values()))):
        source.operational.connection.execute(
            sql.SQL("insert into public.t values ({}, {})").format(
                sql.Literal(row + 1),
                sql.SQL(", ").join(
                    sql.SQL("{}::{}").format(sql.Literal(values[row % len(values)]), sql.SQL(kind))
                    for kind, values in VALUES.items()
                ),
            )
        )
    source.operational.execute("insert into public.t (id) values (0)")
    follow(source)
    for column in columns:
        source.operational.execute(
            f"update public.t as t set {column} = o.{column} from public.t as o where t.id = 1 and o.id = 2"
        )
    source.operational.execute("delete from public.t where id in (0, 3)")
    follow(source)


def test_odd_names(source: Flow) -> None:
    """Schemas, tables and columns of any name are captured."""
    may_replicate(source.operational)
    tables = []
    for name in NAMES:
        odd, schema = sql.Identifier(name), sql.Identifier(name[:20] + " S")
        table = sql.Identifier(name[:20] + " S", name)
        tables.append((table, odd))
        source.operational.connection.execute(
            sql.SQL(
                "create schema {schema}; create table {table} ({odd} int primary key, other text);"
                " grant usage on schema {schema} to headrace_source; grant select on {table} to headrace_source"
            ).format(odd=odd, schema=schema, table=table)
        )
        add_log_table(source, table.as_string())
    source.run(PIPELINE)
    for table, odd in tables:
        source.operational.connection.execute(
            sql.SQL(
                "insert into {table} values (1, 'a'), (2, 'b'); update {table} set other = 'c' where {odd} = 1;"
                " update {table} set {odd} = 3 where {odd} = 2"
            ).format(table=table, odd=odd)
        )
    follow(source, *(table.as_string() for table, _ in tables))


@pytest.mark.parametrize("make", [KEYED, KEYLESS])
@pytest.mark.parametrize(
    "change", ["insert into public.t values (11, 'new', null)", "update public.t set a = 'new' where id = 1"]
)
def test_columns_that_came_after_they_were_looked_at(source: Flow, make: str, change: str) -> None:
    """A message with a column that is not registered is told, whichever it is; the table is then compared."""
    logged(source, make, ROWS)
    source.operational.execute(change)
    messages = peeked(source)
    collect = "select c.has_new_columns from etl.source_table t cross join lateral mrr.collect_changes(t, 1) c"
    for registered in (True, False):
        with source.warehouse.connect(autocommit=False) as session:
            put_stream(session, messages)
            if not registered:
                session.execute("delete from etl.source_column where column_name = 'b'")
            assert session.execute(collect).fetchone() == (not registered,)
            session.rollback()


def peeked(flow: Flow) -> list[Row]:
    """Return what the slot says, without advancing it."""
    (slot,), (publication,) = slots(flow), publications(flow)
    return flow.operational.query(
        "select xid::text::bigint, data from pg_logical_slot_peek_binary_changes("
        "%s, null, null, 'proto_version', '1', 'publication_names', %s)",
        [slot, publication],
    )


NEW = "insert into public.t values (20, 'x', null), (21, 'y', null)"


@pytest.mark.parametrize(
    ("change", "is_direct", "operations"),
    [
        (NEW, True, "II"),
        (f"{NEW}; delete from public.t where id = 1", False, "DII"),
        (f"{NEW}; update public.t set a = 'z' where id = 20", False, "II"),
        (f"truncate public.t; {NEW}", False, "TII"),
    ],
)
def test_new_rows_alone_go_straight_into_the_change_set(
    source: Flow, change: str, is_direct: bool, operations: str
) -> None:
    """They are netted only where the batch has an old row, too; either way it has the same rows in the same order."""
    logged(source, KEYLESS, ROWS)
    source.operational.execute(change)
    said: list[str] = []
    with source.warehouse.connect() as session:
        session.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        session.execute("load 'auto_explain'; set auto_explain.log_level = notice; set client_min_messages = notice")
        session.execute("set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on")
        session.execute("call mrr.capture(%s)", [PIPELINE])
    straight = [plan for plan in said if "Query Text: insert into stg.t_changes" in plan and "headrace_stream" in plan]
    assert (len(straight) > 0) is is_direct
    changed = "select string_agg(_hr_op::text, '' order by _hr_seq) from stg.t_changes"
    assert source.warehouse.value(changed) == operations
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


def test_no_table_is_compared_for_an_upgrade(source: Flow) -> None:
    """The revision before does not know which table has a name; neither going back nor coming from it compares."""
    tree = "select partition_tree from etl.source_table"
    logged(source, KEYLESS, ROWS)
    (oid,) = source.operational.row("select 'public.t'::regclass::oid::text")
    assert source.warehouse.value(tree) == oid
    alembic(source.warehouse.dsn, command.downgrade, "0015")
    assert source.warehouse.value(tree) is None
    alembic(source.warehouse.dsn, command.upgrade, "head")
    source.operational.execute(NEW)
    follow(source)
    assert source.warehouse.value(tree) == oid


@pytest.mark.parametrize("rows", [96, 97, 98, 197, 896, 897, 898, 2000])
def test_fetches_of_every_number(source: Flow, rows: int) -> None:
    """All arrives, whether it takes one fetch or many, and whether the last has rows; three messages have none."""
    logged(source, KEYLESS, ROWS)
    source.warehouse.execute("update etl.settings set fetch_size = 100")
    source.operational.execute(f"insert into public.t select 100 + n, 'x', null from generate_series(1, {rows}) n")
    follow(source)
    source.operational.execute("insert into public.t values (99, 'after', null)")
    follow(source)


def test_sample_in_dwh(operational: Database, warehouse: Database) -> None:
    """Facts, dimensions and quarantine follow the log as they follow a full comparison."""
    flow = log_sample(operational, warehouse)
    flow.seed()
    flow.run()
    flow.assert_facts_equal_model()
    for change in (
        "insert into public.sales values (1, 1, 2), (2, 2, 9), (null, 1, 1)",
        "update public.sales set qty = qty + 1; update public.customers set country = 'NO' where id = 1",
        "delete from public.sales where qty = 3; delete from public.customers where id = 2",
        "begin; truncate public.sales; insert into public.sales values (1, 1, 2), (1, 1, 2), (5, 5, 5); commit",
        "insert into public.sales select 1, 1, 2 from generate_series(1, 5);"
        " insert into public.customers values (9, 'N')",
        "truncate public.customers, public.products, public.sales",
    ):
        for statement in change.split(";"):
            operational.execute(statement)
        flow.run()
        flow.assert_mirrors_equal_source()
        flow.assert_facts_equal_model()


def test_masks(source: Flow) -> None:
    """Dropped, hashed and truncated columns are masked in changes as in copies; hashes are the same in both."""
    masks: dict[str, Any] = {"drop_columns": ["gone"], "hash_columns": ["mail"], "truncate_columns": '{"code": 2}'}
    source.operational.execute("create table public.t (id int primary key, gone text, mail text, code text)")
    source.operational.execute("insert into public.t values (1, 'g', 'm', 'code')")
    may_replicate(source.operational)
    add_log_table(source, "public.t", **masks)
    source.run(PIPELINE)
    source.operational.execute("insert into public.t values (2, 'g', 'm', 'code'), (3, null, null, null)")
    source.operational.execute("update public.t set gone = 'h'")
    source.run(PIPELINE)
    assert changes(source) == (2, 0, 0)
    rows = source.warehouse.query(
        "select id, code, mail is null, count(*) over (partition by mail) from mrr.t order by 1"
    )
    assert rows == [(1, "co", False, 2), (2, "co", False, 2), (3, None, True, 1)]


# ----------------------------------------------------------------------------------------------------------------------
# The first copy
# ----------------------------------------------------------------------------------------------------------------------
@contextmanager
def writers(operational: Database, *statements: str, settings: str = "") -> Iterator[None]:
    """Let one session per statement write as fast as it can; a statement is given a growing number."""
    stop = threading.Event()
    failures: list[psycopg.Error] = []

    def write(statement: str) -> None:
        number = 0
        try:
            with operational.connect() as session:
                session.execute(settings)
                while not stop.is_set():
                    number += 1
                    session.execute(statement.replace("$1", str(number)))
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[statement], daemon=True) for statement in statements]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert failures == []


@keyed_and_keyless
def test_copy_while_written_to(source: Flow, keyed: bool) -> None:
    """The first copy and the slot meet exactly, and no commit that was not flushed yet is passed over later."""
    may_replicate(source.operational)
    source.operational.execute(made(keyed))
    source.operational.execute("insert into public.t select n, 'a', null from generate_series(1, 20000) n")
    add_log_table(source, "public.t")
    statements = [
        f"insert into public.t values (100000 * {writer} + $1, 'w', null), (100000 * {writer} + 50000 + $1, 'w', null);"
        f" update public.t set b = $1 where id = 100000 * {writer} + $1 - 7;"
        f" delete from public.t where id = 100000 * {writer} + $1 - 9"
        for writer in (1, 2, 3)
    ]
    with writers(source.operational, *statements, settings="set synchronous_commit = off"):
        for _ in range(6):
            source.run(PIPELINE)
    source.operational.execute("insert into public.t values (0, 'flushes all before it', null)")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    assert gaps(source) == []


@keyed_and_keyless
def test_table_added_while_a_transaction_is_open(source: Flow, keyed: bool) -> None:
    """A transaction that wrote to a table before it was published, and commits after its copy, is not lost."""
    logged(source, "create table public.first (id int primary key)", tables=("public.first",))
    source.operational.execute(made(keyed))
    source.operational.execute(ROWS)
    source.warehouse.execute("update etl.settings set slot_timeout = '1 second', retry_attempts = 0")
    with source.operational.connect(autocommit=False) as late:
        late.execute("insert into public.t values (500, 'before it was published', null)")
        add_log_table(source, "public.t")
        with raises("55P03"):
            source.run(PIPELINE)
        late.execute("insert into public.t values (501, 'after', null)")
        late.commit()
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


def test_commit_that_waits_while_the_slot_is_made(source: Flow) -> None:
    """A commit that is in the WAL but waits for a standby when the slot is made is not lost."""
    may_replicate(source.operational)
    source.operational.execute(KEYED)
    add_log_table(source, "public.t")
    admin = source.operational
    with (
        source.operational.connect(autocommit=False) as first,
        source.operational.connect(autocommit=False) as second,
        source.operational.connect() as third,
    ):
        first.execute("insert into public.t values (1)")
        making = source.start(PIPELINE)
        wait_until(lambda: slots(source))
        waits = "select from pg_catalog.pg_locks where locktype = 'transactionid' and not granted and pid <> %s"
        wait_until(lambda: admin.query(waits, [0]))
        second.execute("insert into public.t values (2)")
        (pid,) = second.execute("select pg_current_xact_id()::text").fetchone() or ("",)
        first.commit()
        wait_until(lambda: admin.query(f"{waits} and transactionid::text = %s", [0, pid]))
        stop = threading.Event()
        admin.execute("alter system set synchronous_standby_names = 'nobody'")
        admin.execute("select pg_reload_conf()")
        try:
            wait_until(lambda: third.execute("show synchronous_standby_names").fetchone() == ("nobody",))
            third.execute("set synchronous_commit = on")

            def write() -> None:  # until a commit hangs, which it does once the server has taken in the setting
                for number in range(3, 1000):
                    if not stop.wait(0.02):
                        third.execute(f"insert into public.t values ({number})")

            stuck = threading.Thread(target=write, daemon=True)
            stuck.start()
            wait_until(lambda: admin.query("select from pg_catalog.pg_stat_activity where wait_event = 'SyncRep'"))
            second.execute("set local synchronous_commit = local")
            second.commit()
            with contextlib.suppress(pytest.fail.Exception):
                wait_until(lambda: not making.is_working, timeout=2)
        finally:
            stop.set()
            admin.execute("alter system reset synchronous_standby_names")
            admin.execute("select pg_reload_conf()")
        stuck.join(10)
        making.finish()
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


def test_blocked_slot_names_the_transaction(source: Flow) -> None:
    """Making a slot gives up after its time, names what it waits for, and leaves nothing behind."""
    may_replicate(source.operational)
    source.operational.execute(KEYED)
    add_log_table(source, "public.t")
    source.warehouse.execute("update etl.settings set slot_timeout = '1 second', retry_attempts = 0")
    with source.operational.connect(autocommit=False, application_name="month end") as blocker:
        blocker.execute("insert into public.t values (1)")
        with raises("55P03", message="transactions are still open"):
            source.run(PIPELINE)
        (detail,) = source.warehouse.row("select detail from etl.procedure_errors")
        assert str(blocker.info.backend_pid) in detail
        assert "month end" in detail
        assert slots(source) == []
        blocker.execute("prepare transaction 'left behind'")
        with raises("55P03"):
            source.run(PIPELINE)
        assert "left behind" in source.warehouse.value(
            "select max(detail) from etl.procedure_errors where error_id > 1"
        )
    source.operational.execute("commit prepared 'left behind'")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


# ----------------------------------------------------------------------------------------------------------------------
# Batches
# ----------------------------------------------------------------------------------------------------------------------
def test_bounded_batches(source: Flow) -> None:
    """A backlog is worked off in several commits; a single transaction may exceed the limit."""
    logged(source, KEYLESS)
    source.warehouse.execute("update etl.settings set max_changes = 100")
    for number in range(120):
        source.operational.execute("insert into public.t values (%s, 'x', null), (1, 'same', null)", [number])
    source.operational.execute("delete from public.t where id < 50")
    source.operational.execute("insert into public.t select n from generate_series(1, 1000) n")
    before = source.warehouse.value("select count(*) from etl.batch")
    follow(source)
    assert source.warehouse.value("select count(*) from etl.batch") - before >= 5
    source.operational.execute("insert into public.t values (-1)")
    follow(source)


def test_a_large_backlog_is_published_on_the_way(source: Flow) -> None:
    """A run captures no more than it publishes at once, so faster writers cannot keep it from ever publishing."""
    logged(source, KEYLESS)
    source.warehouse.execute("update etl.settings set max_changes = 200, publish_changes = 1000")
    for number in range(20):
        source.operational.execute("insert into public.t select %s from generate_series(1, 120)", [number])
    source.run(PIPELINE)
    waiting = "select count(*) from etl.batch where published_at is null"
    assert 1000 <= source.warehouse.value("select count(*) from mrr.t") < 2400
    assert source.warehouse.value(waiting) == 0
    source.run(PIPELINE)
    source.run(PIPELINE)
    follow(source)


def test_captures_alone_go_on_where_the_last_one_ended(source: Flow) -> None:
    """Called without etl.run(), each capture moves the slot up to what is committed, and sees the end of a backlog."""
    logged(source, KEYED)
    source.warehouse.execute("update etl.settings set max_changes = 100")
    source.operational.execute("insert into public.t select n, 'x', null from generate_series(1, 400) n")
    source.operational.execute("insert into public.t select n, 'y', null from generate_series(401, 450) n")
    alone = (
        "do $$ declare run bigint; outcome etl.outcome; begin"
        f" for number in 1..10 loop run := null; call mrr.capture('{PIPELINE}', run, outcome); %s"
        " exit when not outcome.more; end loop; end $$"
    )
    source.warehouse.execute(alone % "")
    assert source.warehouse.value("select count(*) from mrr.t") == 400, "in one transaction the slot cannot be moved"
    assert source.warehouse.value("select count(*) from etl.run_log where action = 'capture'") == 2
    source.warehouse.execute(alone % "commit;")
    assert source.warehouse.value("select count(*) from etl.run_log where action = 'capture'") == 3
    follow(source)


def test_large_transaction(source: Flow) -> None:
    """One transaction of 200 000 rows is one batch, however small the limit."""
    logged(source, KEYED)
    source.warehouse.execute("update etl.settings set max_changes = 1000")
    source.operational.execute("insert into public.t select n, 'x', null from generate_series(1, 200000) n")
    source.run(PIPELINE)
    assert changes(source) == (200000, 0, 0)
    checksum = "select count(*), sum(id), min(a), max(a) from"
    assert source.warehouse.row(f"{checksum} mrr.t") == source.operational.row(f"{checksum} public.t")


def test_idle_slot_holds_no_wal(source: Flow) -> None:
    """Other tables' writes do not pin WAL: each run advances the slot to the end of the log."""
    logged(source, KEYED)
    source.operational.execute("create table public.other as select repeat('x', 1000) from generate_series(1, 20000)")
    behind = (
        "select pg_current_wal_lsn() - confirmed_flush_lsn from pg_catalog.pg_replication_slots where slot_name = %s"
    )
    assert source.operational.value(behind, slots(source)) > 4_000_000
    source.run(PIPELINE)
    assert source.operational.value(behind, slots(source)) < 100_000


# ----------------------------------------------------------------------------------------------------------------------
# Crashes
# ----------------------------------------------------------------------------------------------------------------------
@keyed_and_keyless
def test_replay_skips_what_is_in_a_batch(source: Flow, keyed: bool) -> None:
    """Captured and committed, but not acknowledged: the changes come again and are skipped, those after them not."""
    logged(source, made(keyed), ROWS)
    for number in range(3):
        source.operational.execute("insert into public.t values (%s, 'x', null)", [100 + number])
        source.operational.execute(
            f"update public.t set a = 'y' where id = 5; delete from public.t where id = {number}"
        )
        source.warehouse.execute("call mrr.capture(%s)", [PIPELINE])
        source.assert_mirror_equals_source("public.t")
    assert source.operational.value(
        "select count(*) from pg_catalog.pg_logical_slot_peek_binary_changes(%s, null, null, 'proto_version', '1',"
        " 'publication_names', %s)",
        slots(source) * 2,
    )
    source.operational.execute("delete from public.t where id = 101")
    follow(source)
    follow(source)
    assert changes(source) == (0, 0, 0)


def test_replay_with_a_smaller_limit(source: Flow) -> None:
    """Batches that were not acknowledged do not come again when the limit is lowered meanwhile."""
    logged(source, KEYLESS)
    for number in range(150):
        source.operational.execute("insert into public.t values (1, 'x', null), (%s, 'y', null)", [number])
    source.warehouse.execute("call mrr.capture(%s)", [PIPELINE])
    source.warehouse.execute("update etl.settings set max_changes = 100")
    source.operational.execute("insert into public.t values (1, 'x', null)")
    follow(source)


@keyed_and_keyless
def test_killed_between_capture_and_acknowledge(source: Flow, keyed: bool) -> None:
    """A backend that dies after the capture's commit, or before it, loses and doubles nothing."""
    logged(source, made(keyed), ROWS)
    for table in ("etl.slot", "etl.batch", "mrr.t", "etl.source_table"):
        source.operational.execute("insert into public.t values ((select max(id) + 1 from public.t), 'x', null)")
        source.operational.execute("update public.t set a = a || 'z' where id < 4")
        with locked(source.warehouse, table):
            run = source.start(PIPELINE)
            pid = waiting_for_lock(source.warehouse, table)
            source.warehouse.execute("select pg_terminate_backend(%s::int, 5000)", [pid])
        with pytest.raises(psycopg.Error):
            run.finish()
    follow(source)
    assert gaps(source) == []


def test_lost_connection(source: Flow) -> None:
    """A source session that is cut while the slot is read fails the run, and the next one goes on."""
    logged(source, KEYED)
    source.operational.execute("insert into public.t select n from generate_series(1, 50000) n")
    run = source.start(PIPELINE)
    name = f"headrace {source.warehouse.value('select etl.warehouse_id()')}"
    wait_until(
        lambda: source.operational.query(
            "select from pg_catalog.pg_stat_activity a, pg_terminate_backend(a.pid) where application_name = %s"
            " and query like 'declare%%' or application_name = %s and query like 'fetch%%'",
            [name, name],
        )
    )
    with contextlib.suppress(psycopg.Error):
        run.finish()
    follow(source)


# ----------------------------------------------------------------------------------------------------------------------
# Gaps
# ----------------------------------------------------------------------------------------------------------------------
@keyed_and_keyless
@pytest.mark.parametrize("gap", ["is gone", "stands at", "is another server", "is on timeline"])
def test_gaps_are_mended(source: Flow, keyed: bool, gap: str) -> None:
    """A lost slot, one ahead of the batches, another source: noticed, logged, and mended by a comparison."""
    logged(source, made(keyed), ROWS)
    (slot,) = slots(source)
    source.operational.execute(
        "insert into public.t values (11, 'x', null), (11, 'y', null)" if not keyed else "select"
    )
    source.operational.execute("insert into public.t values (12, 'x', null); delete from public.t where id < 4")
    match gap:
        case "is gone":
            source.operational.execute("select pg_drop_replication_slot(%s)", [slot])
        case "stands at":
            source.operational.execute("select pg_replication_slot_advance(%s, pg_current_wal_flush_lsn())", [slot])
        case "is another server":
            source.warehouse.execute("update etl.slot set system_identifier = 1")
        case _:
            source.warehouse.execute("update etl.slot set timeline = 9")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    (message,) = gaps(source)
    assert gap in message
    assert slots(source) == [slot]
    source.operational.execute("insert into public.t values (13, 'x', null)")
    follow(source)


def test_clone_leaves_its_origin_alone(source: Flow) -> None:
    """A clone gets an id, a slot and a publication of its own, and its origin goes on as before."""
    logged(source, KEYED, ROWS)
    origin = slots(source)
    source.warehouse.close()
    server = source.warehouse.server
    admin = server.database("postgres")
    clone = server.database(f"{source.warehouse.name}_clone")
    admin.execute(f"create database {clone.name} template {source.warehouse.name}")
    try:
        clone.execute("begin; call etl.drop_slots(); rollback")
        assert slots(source) == origin, "a clone has dropped its origin's slot"
        source.operational.execute("insert into public.t values (20, 'x', null)")
        copy = Flow(source.operational, clone)
        try:
            copy.run(PIPELINE)
        except psycopg.Error as error:
            source.operational.execute("insert into public.t values (30, 'x', null)")
            hint = error.diag.message_hint or ""
            statement = hint.split("as its DBA: ")[1].split(";")[0]
            source.operational.execute(statement)
            copy.run(PIPELINE)
        copy.assert_mirror_equals_source("public.t")
        assert len(slots(source)) == len(publications(source)) == 2
        assert set(origin) < set(slots(source))
        assert "copy of" in gaps(copy)[0]
        follow(source)
        source.operational.execute("insert into public.t values (21, 'x', null)")
        follow(source)
        follow(copy)
        clone.execute("call etl.drop_slots()")
        assert slots(source) == origin
        follow(source)
    finally:
        clone.close()
        admin.execute(f"drop database {clone.name} with (force)")
        admin.close()


# ----------------------------------------------------------------------------------------------------------------------
# Columns that change
# ----------------------------------------------------------------------------------------------------------------------
CHANGED = {
    "add": "alter table public.t add c int",
    "add with default": "alter table public.t add c int default 7",
    "add with a default that is taken away": "alter table public.t add c int default 7;"
    " alter table public.t alter c drop default",
    "add not null": "alter table public.t add c int not null default 7",
    "drop": "alter table public.t drop b",
    "rename": "alter table public.t rename a to z",
    "swap names": "alter table public.t rename a to x; alter table public.t rename b to a;"
    " alter table public.t rename x to b",
    "retype": "alter table public.t alter a type varchar(50)",
    "retype with values": "alter table public.t alter b type int using id * 2",
    "drop and add anew": "alter table public.t drop b; alter table public.t add b text default 'new'",
}


@keyed_and_keyless
@pytest.mark.parametrize("policy", ["evolve", "resync", "stop"])
def test_changed_columns(source: Flow, keyed: bool, policy: str) -> None:
    """A changed column is noticed before a row is misread: taken over, or refused until it is accepted."""
    failures = {}
    for name, change in CHANGED.items() if policy == "evolve" else [*CHANGED.items()][:1] + [*CHANGED.items()][4:6]:
        try:
            changed_columns(source, keyed, policy, change)
        except (AssertionError, psycopg.Error):
            failures[name] = traceback.format_exc(limit=-2)
        source.warehouse.call("etl.remove_table", source="op", source_table="public.t", force=True)
        for publication in publications(source):
            source.operational.execute(f"drop publication {publication}")
        source.operational.execute("drop table public.t")
    assert failures == {}


def changed_columns(source: Flow, keyed: bool, policy: str, change: str) -> None:
    """Change the columns of a table between changes of its rows, and follow."""
    logged(source, made(keyed), ROWS, on_schema_change=policy)
    source.operational.execute("insert into public.t values (20, 'before', 'b')")
    source.operational.execute("update public.t set a = 'old' where id = 1")
    source.operational.execute(change)
    source.operational.execute("insert into public.t (id) values (21); delete from public.t where id in (2, 3)")
    source.operational.execute("update public.t set id = 40 where id = 4; update public.t set id = 5 where id = 5")
    if policy == "stop":
        with raises("55000", message="is not what was registered", hint="etl.accept_columns"):
            source.run(PIPELINE)
        source.warehouse.execute("call etl.accept_columns('op', 'public.t')")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    source.operational.execute("insert into public.t (id) values (22); delete from public.t where id in (21, 6)")
    follow(source)


def test_rename_is_not_misread(source: Flow) -> None:
    """Changes made under a column's old name never show as NULL under its new one, not even for a batch."""
    logged(source, KEYED, ROWS)
    source.operational.execute("update public.t set a = 'old' where id = 1")
    source.operational.execute("alter table public.t rename a to z")
    source.warehouse.execute("call mrr.capture(%s)", [PIPELINE])
    assert source.warehouse.query("select * from stg.t_changes where z is null and _hr_op <> 'T'") == []
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


@keyed_and_keyless
def test_tables_that_swap_names(source: Flow, keyed: bool) -> None:
    """Rows from before and after a swap, in one batch, are those of the table that had the name then."""
    make, tables = made(keyed), ("public.t", "public.u")
    logged(source, make, make.replace("public.t", "public.u"), ROWS, tables=tables)
    put = "insert into public.{} values ({}, 'x', null)"
    source.operational.execute(put.format("t", 20))
    source.operational.execute(put.format("u", 30))
    source.operational.execute(
        "begin; alter table public.t rename to s; alter table public.u rename to t; alter table public.s rename to u;"
        f"{put.format('t', 40)}; {put.format('u', 50)}; commit"
    )
    messages = peeked(source)
    for mirror, ids in (("t", [20, 40]), ("u", [30, 50])):
        with source.warehouse.connect(autocommit=False) as session:
            put_stream(session, messages)
            collect = (
                "select from etl.source_table t cross join lateral mrr.collect_changes(t, 0) c where t.mirror = %s"
            )
            session.execute(collect, [mirror])
            collected = f"select id from pg_temp.headrace_log union all select id from stg.{mirror}_changes order by 1"
            assert session.execute(collected).fetchall() == [(number,) for number in ids]
            session.rollback()
    source.run(PIPELINE)
    for table in tables:
        source.assert_mirror_equals_source(table)


def test_rows_from_before_a_name_was_taken(source: Flow) -> None:
    """Of a table that took another's name, in one batch, only the rows since then are the name's."""
    tables = ("public.t", "public.u")
    logged(source, KEYLESS, KEYLESS.replace("public.t", "public.u"), tables=tables)
    source.operational.execute("insert into public.u values (30, 'x', null)")
    source.operational.execute("alter table public.t rename to s; alter table public.u rename to t")
    source.operational.execute("insert into public.t values (40, 'x', null)")
    with source.warehouse.connect(autocommit=False) as session:
        put_stream(session, peeked(source))
        session.execute("select from etl.source_table t, lateral mrr.collect_changes(t, 0) c where t.mirror = 't'")
        assert session.execute("select id from stg.t_changes").fetchall() == [(40,)]
        session.rollback()


@keyed_and_keyless
def test_table_that_takes_the_name_of_another(source: Flow, keyed: bool) -> None:
    """It is compared, though nothing was written to it since, and only then."""
    make = made(keyed)
    logged(source, make, make.replace("public.t", "public.u"), ROWS, tables=("public.t", "public.u"))
    copied = copies(source)
    source.operational.execute("alter table public.t rename to s; alter table public.u rename to t")
    source.operational.execute("alter table public.s rename to u")
    for _ in range(2):
        source.run(PIPELINE)
        for table in ("public.t", "public.u"):
            source.assert_mirror_equals_source(table)
    assert all(after > before for after, before in zip(copies(source), copied, strict=True))
    follow(source, "public.t", "public.u")


@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without a key"])
@pytest.mark.parametrize("capture", ["log", "full"])
def test_dropped_table_is_refused(source: Flow, keyed: bool, capture: str) -> None:
    """A table that is gone at the source fails the run and leaves its mirror as it was."""
    may_replicate(source.operational)
    source.operational.execute(made(keyed))
    source.operational.execute(ROWS)
    add_log_table(source, "public.t", capture=capture)
    source.run(PIPELINE)
    before = sorted(source.warehouse.query("select * from mrr.t"))
    source.operational.execute("alter table public.t rename to u")
    with pytest.raises(psycopg.Error):
        source.run(PIPELINE)
    assert sorted(source.warehouse.query("select * from mrr.t")) == before
    source.operational.execute("alter table public.u rename to t")
    source.operational.execute("insert into public.t values (70, 'x', null)")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


def test_dropped_and_made_anew(source: Flow) -> None:
    """A table that was dropped and made anew is not published; after that is mended it is compared."""
    logged(source, KEYED, ROWS)
    source.operational.execute("drop table public.t")
    source.operational.execute(KEYED)
    source.operational.execute("insert into public.t values (1, 'new', null)")
    with pytest.raises(psycopg.Error) as caught:
        source.run(PIPELINE)
    assert caught.value.sqlstate == "55000"
    source.operational.execute(f"alter publication {publications(source)[0]} add table public.t")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


def test_lost_publication(source: Flow) -> None:
    """A publication that was dropped and made anew: what came in between cannot be read, and is compared instead."""
    logged(source, KEYED, ROWS)
    (publication,) = publications(source)
    source.operational.execute("insert into public.t values (20, 'before', null)")
    source.operational.execute(f"drop publication {publication}")
    source.operational.execute("update public.t set a = 'between' where id = 1")
    with raises("55000", message="no longer publishes", hint=f"create publication {publication}"):
        source.run(PIPELINE)
    source.operational.execute("delete from public.t where id = 2")
    source.operational.execute(
        f"create publication {publication} for table public.t with (publish_via_partition_root = true)"
    )
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    source.operational.execute("insert into public.t values (30, 'after', null)")
    follow(source)


def test_changed_replica_identity(source: Flow) -> None:
    """A replica identity that no longer tells whole rows of a keyless table is refused, not misread."""
    logged(source, KEYLESS, ROWS)
    source.operational.execute("alter table public.t alter id set not null; create unique index by_id on public.t (id)")
    source.operational.execute("alter table public.t replica identity using index by_id")
    source.operational.execute("update public.t set a = 'n' where id = 1; delete from public.t where id = 2")
    with raises("55000", message="replica identity"):
        source.run(PIPELINE)
    source.operational.execute("alter table public.t replica identity full")
    source.warehouse.execute("select etl.request_resync(%s, '{t}')", [PIPELINE])
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


# ----------------------------------------------------------------------------------------------------------------------
# Partitions, inserts_only
# ----------------------------------------------------------------------------------------------------------------------
def test_partitions(source: Flow) -> None:
    """A partitioned table is one table; attaching and detaching partitions has it compared."""
    logged(
        source,
        "create table public.t (id int, a text, primary key (id)) partition by range (id)",
        "create table public.t1 partition of public.t for values from (0) to (100)",
        "create table public.t2 partition of public.t for values from (100) to (200)",
        "insert into public.t select n * 20, 'a' from generate_series(0, 9) n where n <> 6",
    )
    source.operational.execute(
        "update public.t set a = 'b' where id = 0; update public.t set id = id + 100 where id = 20"
    )
    source.operational.execute("insert into public.t2 values (199, 'direct'); delete from public.t1 where id = 40")
    follow(source)
    source.operational.execute("insert into public.t values (1, 'x'), (101, 'x')")
    source.operational.execute("create table public.t3 (id int primary key, a text)")
    source.operational.execute("insert into public.t3 values (300, 'attached')")
    source.operational.execute("alter table public.t attach partition public.t3 for values from (300) to (400)")
    source.operational.execute("insert into public.t values (301, 'x')")
    before = copies(source)
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    assert copies(source) != before
    source.operational.execute("insert into public.t values (2, 'x'); alter table public.t detach partition public.t2")
    source.operational.execute("insert into public.t2 values (150, 'not ours')")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    source.operational.execute("truncate public.t; insert into public.t values (5, 'x')")
    follow(source)


def test_inserts_only(source: Flow) -> None:
    """A table without a replica identity can be captured by its inserts, and its application is left in peace."""
    source.operational.execute("create table public.t (id int, a text)")
    source.operational.execute("insert into public.t values (1, 'a'), (1, 'a')")
    may_replicate(source.operational)
    add_log_table(source, "public.t", inserts_only=True)
    source.run(PIPELINE)
    source.operational.execute("insert into public.t values (2, 'b'), (1, 'a')")
    follow(source)
    source.operational.execute("update public.t set a = 'c' where id = 2; delete from public.t where id = 1")
    source.operational.execute("truncate public.t; insert into public.t values (3, 'd')")
    source.run(PIPELINE)
    assert source.warehouse.query("select id, a from mrr.t order by 1, 2") == [
        (1, "a"), (1, "a"), (1, "a"), (2, "b"), (3, "d")
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------------
# Registration
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statement", "options", "message", "remedy_has"),
    [
        ("create table public.t (id int)", {}, "no replica identity", "replica identity full"),
        (f"{KEYED}; alter table public.t replica identity nothing", {}, "no replica identity", "replica identity full"),
        (KEYED, {"key": []}, "does not tell whole rows", "replica identity full"),
        (
            f"{KEYED}; alter table public.t alter a set not null; create unique index by_a on public.t (a)",
            {"key": ["a"]},
            "does not hold the key",
            "replica identity full",
        ),
        (
            "create table public.t (id int primary key deferrable initially deferred, a text)",
            {},
            "no replica identity",
            "replica identity full",
        ),
        (
            "create table public.t (id int primary key deferrable); alter table public.t replica identity full",
            {},
            "its key is deferrable",
            "capture => 'full'",
        ),
        (
            "create table public.t (id int primary key, a int generated always as (id * 2) stored)",
            {},
            "generated columns",
            "drop_columns",
        ),
        ("create unlogged table public.t (id int primary key)", {}, "unlogged", "set logged"),
        ("create view public.t as select 1 as id", {}, "it is no table", "capture => 'full'"),
        (
            "create table public.t (id int) partition by range (id); alter table public.t replica identity full",
            {},
            "partitioned and has no key",
            "capture => 'full'",
        ),
    ],
)
def test_refusals(source: Flow, statement: str, options: dict[str, object], message: str, remedy_has: str) -> None:
    """A table that log capture would misread, or whose application it would break, is refused with what to do."""
    may_replicate(source.operational)
    source.operational.execute(statement)
    with raises("55000", message=message, hint=remedy_has):
        source.add_table("public.t", PIPELINE, capture="log", **options)
    assert publications(source) == []
    assert source.warehouse.query("select * from etl.source_table") == []


def test_role_without_replication(source: Flow) -> None:
    """The role is checked, and told to be given REPLICATION."""
    source.operational.execute(KEYED)
    source.operational.execute(f"alter role {SOURCE_ROLE} noreplication")
    try:
        with raises("55000", message="may not replicate", hint=f"alter role {SOURCE_ROLE} replication"):
            source.add_table("public.t", PIPELINE, capture="log")
    finally:
        may_replicate(source.operational)


def test_publication_by_the_dba(source: Flow) -> None:
    """Where the role owns nothing, the DBA runs what the refusal says, and check_source agrees before and after."""
    may_replicate(source.operational)
    source.operational.execute(KEYED)
    with pytest.raises(psycopg.Error) as refused:
        source.add_table("public.t", PIPELINE, capture="log")
    statement = remedy(refused.value)
    assert statement.startswith("create publication headrace_")
    source.operational.execute(statement)
    source.add_table("public.t", PIPELINE, capture="log")
    assert source.warehouse.query("select * from etl.check_source('op') where severity = 'error'") == []
    source.operational.execute(f"alter publication {publications(source)[0]} drop table public.t")
    assert "not in publication" in source.warehouse.value(
        "select finding from etl.check_source('op') where severity = 'error'"
    )


@pytest.mark.parametrize("read_only", [True, False])
def test_publication_by_the_owner(source: Flow, read_only: bool) -> None:
    """A role that owns the table makes the publication itself, and takes it away at the end."""
    may_replicate(source.operational)
    source.operational.execute(KEYED)
    source.operational.execute(f"alter table public.t owner to {SOURCE_ROLE}")
    source.operational.execute(f"grant create on database {source.operational.name} to {SOURCE_ROLE}")
    source.operational.execute(
        f"alter role {SOURCE_ROLE} in database {source.operational.name}"
        f" set default_transaction_read_only = {read_only}"
    )
    source.add_table("public.t", PIPELINE, capture="log")
    source.run(PIPELINE)
    assert len(slots(source)) == len(publications(source)) == 1
    source.warehouse.call("etl.remove_table", source="op", source_table="public.t")
    assert slots(source) == publications(source) == []
    assert source.warehouse.query("select * from etl.slot") == []


def test_remove_table_leaves_what_others_use(source: Flow) -> None:
    """The last log table of a pipeline takes slot and publication with it, not an earlier one."""
    tables = ("public.t", "public.u")
    logged(
        source,
        KEYED,
        "create table public.u (id int primary key)",
        f"alter table public.t owner to {SOURCE_ROLE}",
        f"alter table public.u owner to {SOURCE_ROLE}",
        f"grant create on database {source.operational.name} to {SOURCE_ROLE}",
        tables=tables,
    )
    source.warehouse.call("etl.remove_table", source="op", source_table="public.t")
    assert len(slots(source)) == len(publications(source)) == 1
    assert source.operational.query("select tablename from pg_catalog.pg_publication_tables") == [("u",)]
    source.operational.execute("insert into public.u values (1)")
    follow(source, "public.u")
    source.warehouse.call("etl.remove_table", source="op", source_table="public.u")
    assert slots(source) == publications(source) == []
