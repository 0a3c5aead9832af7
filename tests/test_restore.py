"""Restores from logical backups: whatever is restored, wherever, the next run brings it level with the source."""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic import command

from tests.backups import FAILED, REFUSED, SCRIPTS, USAGE, Backups, beside, seal
from tests.capture import add_log_table, gaps, may_replicate, slots
from tests.conftest import SAMPLE, SOURCE_ROLE, alembic
from tests.faults import Spare, assert_all_arrived, spare
from tests.support import BackgroundRun, Flow, locked, wait_until

_numbers = itertools.count(1)
MOVES = (
    "insert into public.customers values (20, 'Eve', 'IS'); insert into public.sales values (20, 1, 9), (1, 1, 2);"
    " update public.customers set country = 'NO' where id = 1",
    "update public.products set groupname = 'New' where id = 1; delete from public.sales where qty = 7;"
    " insert into public.sales values (1, 3, 4)",
    "delete from public.customers where id = 3; insert into public.products values (4, 'Cup', 'Food');"
    " insert into public.sales values (1, 4, 8), (1, 1, 2)",
)
AFTER = (
    "delete from public.sales where qty = 9; insert into public.sales values (2, 4, 11);"
    " update public.customers set name = 'Eva' where id = 20; delete from public.products where id = 2"
)
NOTED = """
create table public.calls (facts bigint);
create or replace procedure etl.apply_layout() language plpgsql
as 'begin insert into public.calls select count(*) from dwh.fact_sales; end'
"""
UNPREPARED = "create or replace function etl.prepare_backup() returns text language sql as 'select null::text'"
OPTIONS: dict[str, dict[str, object]] = {
    "public.customers": {"watermark": "id", "full_every": None},
    "public.products": {"watermark": "id", "full_every": None},
}


def register(flow: Flow, mode: str) -> None:
    """Register the sample in a capture mode; by watermark, as far as its tables have a growing column."""
    if mode == "log":
        may_replicate(flow.operational)
    for table in SAMPLE:
        if mode == "log":
            add_log_table(flow, table, "sales")
        elif mode == "watermark" and table in OPTIONS:
            flow.add_table(table, "sales", capture="watermark", **OPTIONS[table])
        else:
            flow.add_table(table, "sales")


def move_on(flow: Flow) -> None:
    """Let the source change three times, each brought over by a run."""
    for statements in MOVES:
        flow.operational.execute(statements)
        flow.run()


def run_as_told(flow: Flow) -> None:
    """Run; where the source's DBA has to publish tables for a copy, do what the hint says first."""
    try:
        flow.run()
    except psycopg.Error as error:
        statements = (error.diag.message_hint or "").split("as its DBA: ")
        if len(statements) < 2:
            raise
        for statement in re.findall(r"((?:create|alter) publication [^;]+);", statements[1]):
            try:
                flow.operational.execute(statement)
            except psycopg.errors.DuplicateObject:
                table = statement.split("for table ")[1].split(" with")[0]
                flow.operational.execute(f"alter publication {statement.split()[2]} add table {table}")
        flow.run(force=True)


@pytest.fixture
def backups(tmp_path: Path, source: Flow) -> Backups:
    """Return a directory for backups of a warehouse that has no table yet."""
    source.seed()
    return Backups(tmp_path / "backups", source.warehouse)


@pytest.fixture
def loaded(backups: Backups, source: Flow) -> Flow:
    """Return the sample, loaded once and backed up, three runs ago."""
    register(source, "full")
    source.run()
    backups.make()
    move_on(source)
    return source


def url(flow: Flow, name: str) -> str:
    """Return the URL of another database on the warehouse's server."""
    return flow.warehouse.server.database(name).dsn


def identity(flow: Flow) -> str:
    """Return the id of a warehouse."""
    return str(flow.warehouse.value("select etl.warehouse_id()"))


# ----------------------------------------------------------------------------------------------------------------------
# Everything
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["full", "log", "watermark"])
def test_three_runs_old_in_its_place(backups: Backups, source: Flow, mode: str) -> None:
    """The warehouse goes back by three runs while its source and its slot went on; one run later they are level."""
    register(source, mode)
    source.run()
    backups.make()
    before = identity(source)
    move_on(source)
    slot = slots(source)
    source.operational.execute(AFTER)
    source.warehouse.execute("create table dwh.stray (a int); create view public.stray as select * from dwh.fact_sales")
    assert "--force" in backups.run("restore", "all", code=REFUSED)
    backups.run("restore", "all", "--force")
    source.warehouse.close()
    assert source.warehouse.value("select to_regclass('dwh.stray') is null and to_regclass('public.stray') is null")
    assert source.warehouse.value("select count(*) from etl.run_log") == 1
    dated = "select sale_key, captured_at from dwh.fact_sales where qty = 1 order by 1"
    dates = source.warehouse.query(dated)
    assert dates
    source.run()
    assert_all_arrived(source)
    assert source.warehouse.query(dated) == dates, "facts that did not change were dated anew"
    assert (identity(source), slots(source)) == (before, slot)
    assert [("restored from a backup" in gap) for gap in gaps(source)] == ([True] if mode == "log" else [])
    source.operational.execute("insert into public.sales values (2, 2, 77)")
    source.run()
    assert_all_arrived(source)


@pytest.mark.parametrize("mode", ["full", "log", "watermark"])
def test_three_runs_old_beside_its_origin(backups: Backups, source: Flow, mode: str) -> None:
    """A copy under a new name gets an id and a slot of its own and is level after a run; its origin does not notice."""
    register(source, mode)
    source.run()
    backups.make()
    move_on(source)
    slot = slots(source)
    source.operational.execute(AFTER)
    name = f"beside_{next(_numbers)}"
    with beside(source, name) as copy:
        backups.run("restore", "all", "--into", url(source, name))
        assert slots(source) == slot, "the restore itself touched the source"
        assert identity(copy) != identity(source)
        assert copy.warehouse.query("select from etl.job where is_scheduled") == []
        run_as_told(copy)
        assert_all_arrived(copy)
        assert set(slot) <= set(slots(source))
        assert len(slots(source)) == 2 * len(slot)
        source.operational.execute("insert into public.sales values (2, 2, 77)")
        for flow in (source, copy):
            flow.run()
            flow.assert_mirror_equals_source("public.sales")
        if mode != "watermark":  # which by itself sees no changed and no deleted customer
            assert_all_arrived(source)
        assert_all_arrived(copy)
        assert gaps(source) == []
        server = source.warehouse.server
        rights = "select datacl::text from pg_database where datname = %s"
        assert copy.warehouse.value(rights, [name]) == source.warehouse.value(rights, [source.warehouse.name])
        with copy.warehouse.connect("headrace_reader") as reader:
            reader.execute("select * from dwh.most_popular_product()")
        # overwritten once more, it keeps its own id, so no slot of it is left behind at the source
        before = identity(copy)
        copy.warehouse.close()
        backups.run("restore", "all", "--into", server.database(name).dsn, "--force")
        assert identity(copy) == before
        copy.run()
        assert_all_arrived(copy)
        assert len(slots(source)) == 2 * len(slot)


def test_into_a_new_instance(backups: Backups, loaded: Flow) -> None:
    """On a server that knows nothing of Headrace: roles, rights, settings and jobs come too; the origin is gone."""
    loaded.warehouse.execute(f"alter database {loaded.warehouse.name} set work_mem = '7MB'")
    backups.make()
    with spare("warehouse") as instance:
        target = instance.server.database("restored")
        backups.run(
            "restore", "all", "--into", target.dsn, "--keep-identity",
            WAREHOUSE_DSN=re.sub(r":\d+/", ":1/", loaded.warehouse.dsn),
            HEADRACE_SOURCE_PASSWORD=loaded.operational.server.passwords[SOURCE_ROLE],
        )  # fmt: skip
        copy = Flow(loaded.operational, target)
        assert identity(copy) == identity(loaded)
        loaded.operational.execute(AFTER)
        copy.run()
        assert_all_arrived(copy)
        assert target.value("show work_mem") == "7MB"
        assert target.row(
            "select rolcanlogin, has_table_privilege('headrace_reader', 'dwh.fact_sales', 'select')"
            " from pg_roles where rolname = 'headrace_reader'"
        ) == (True, True)
        target.close()
        see_jobs(instance, target.dsn)


def see_jobs(instance: Spare, dsn: str) -> None:
    """Deploy, and see that pg_cron has the jobs of the restored database."""
    alembic(dsn, command.upgrade, "head")
    cron = instance.server.database(instance.name)
    assert cron.query("select from cron.job where database = 'restored' and jobname like 'headrace:%:run'")
    cron.close()


def test_without_a_password(backups: Backups, loaded: Flow) -> None:
    """Where nobody knows the source's password any more, the restore says what is to be done."""
    name = f"beside_{next(_numbers)}"
    with beside(loaded, name):
        said = backups.run(
            "restore", "all", "--into", url(loaded, name), WAREHOUSE_DSN=re.sub(r":\d+/", ":1/", loaded.warehouse.dsn)
        )
    assert "source op has no password yet: call etl.add_source" in said


@pytest.mark.parametrize("what", ["all", "dwh.fact_sales"])
def test_tables_are_brought_to_their_nodes(backups: Backups, loaded: Flow, what: str) -> None:
    """At the end of a restore, when the rows are there. What that does on a cluster, the tests there see."""
    loaded.warehouse.execute(NOTED)
    backups.make()
    backups.run("restore", what, "--force")
    loaded.warehouse.close()
    assert loaded.warehouse.query("select facts = (select count(*) from dwh.fact_sales) from public.calls") == [(True,)]


def test_moment_and_batch(backups: Backups, source: Flow) -> None:
    """The newest backup that is not later than a moment, or not beyond a batch, is the one."""
    register(source, "full")
    source.run()
    old = backups.make()
    (backups.logical / old).rename(backups.logical / "20240101T100000Z-all")
    move_on(source)
    new = backups.make()
    dry = ("restore", "all", "--force", "--dry-run")
    assert f"from {new}" in backups.run(*dry)
    assert "from 20240101T100000Z-all" in backups.run(*dry, "--at", "2024-01-01 12:00+01")
    backups.run(*dry, "--at", "2024-01-01 10:59+01", code=FAILED)
    assert "from 20240101T100000Z-all" in backups.run(*dry, "--batch", "3")
    assert f"from {new}" in backups.run(*dry, "--batch", "4")
    backups.run(*dry, "--batch", "0", code=FAILED)
    assert source.warehouse.value("select count(*) from etl.run_log") == 4, "a dry run changed something"
    backups.run("restore", "all", "--force", "--batch", "1")
    source.warehouse.close()
    assert source.warehouse.value("select max(batch_id) from etl.batch where published_at is not null") == 1


def test_waits_for_a_run(backups: Backups, loaded: Flow) -> None:
    """A run that is at work ends before anything is replaced."""
    loaded.operational.execute(AFTER)
    with locked(loaded.operational, "public.sales"):
        run = loaded.start()
        wait_until(
            lambda: loaded.operational.query("select from pg_locks where not granted and locktype = 'relation'"),
            what="the run",
        )
        restore = backups.start("restore", "dwh", "--force")
        wait_until(
            lambda: loaded.warehouse.query("select from pg_locks where not granted and locktype = 'advisory'"),
            what="the restore",
        )
        assert restore.poll() is None
    run.finish()
    assert restore.wait(60) == 0
    loaded.run()
    assert_all_arrived(loaded)


@pytest.mark.parametrize("what", ["all", "dwh"])
def test_fails_in_the_middle(backups: Backups, loaded: Flow, what: str) -> None:
    """An archive that cannot be read to its end changes nothing, although its checksums hold."""
    directory = backups.logical / backups.names[0]
    file = max(directory.glob("dwh/[0-9]*.dat*"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-20])
    seal(directory)
    before = loaded.warehouse.query("select * from dwh.fact_sales order by sale_key")
    assert "nothing was changed" in backups.run("restore", what, "--force", code=FAILED)
    assert loaded.warehouse.query("select * from dwh.fact_sales order by sale_key") == before
    assert loaded.warehouse.value("select count(*) from etl.run_log") == 4
    assert backups.log("restore") == ["failed"]
    assert "nothing was changed" in loaded.warehouse.value("select message from etl.backups where kind = 'restore'")
    name = f"beside_{next(_numbers)}"
    if what == "all":
        with beside(loaded, name):
            backups.run("restore", "all", "--into", url(loaded, name), code=FAILED)
            assert not loaded.warehouse.query("select from pg_database where datname = %s", [name])


# ----------------------------------------------------------------------------------------------------------------------
# A layer, a table
# ----------------------------------------------------------------------------------------------------------------------
def nothing(flow: Flow) -> None:
    """Harm nothing: the restore itself sets back what is right."""


def drop(what: str) -> Callable[[Flow], None]:
    """Return a function that drops something."""

    def harm(flow: Flow) -> None:
        flow.warehouse.execute(f"drop {what}")

    return harm


def change(statement: str) -> Callable[[Flow], None]:
    """Return a function that executes a statement."""

    def harm(flow: Flow) -> None:
        flow.warehouse.execute(statement)

    return harm


HARM: dict[str, tuple[str, Callable[[Flow], None]]] = {
    "layer mrr": ("mrr", change("delete from mrr.sales where qty > 1; update mrr.customers set name = 'x'")),
    "layer stg": ("stg", change("delete from stg.quarantine")),
    "layer dwh": ("dwh", nothing),
    "layer dwh, dropped": ("dwh", drop("schema dwh cascade")),
    "layer etl": ("etl", change("delete from etl.step_log; update etl.settings set fetch_size = 777")),
    "fact table, dropped": ("dwh.fact_sales", drop("table dwh.fact_sales")),
    "dimension": ("dwh.dim_customer", change("delete from dwh.dim_customer")),
    "mirror, dropped": ("mrr.sales", drop("table mrr.sales")),
    "mirror with a key": ("mrr.products", change("update mrr.products set name = 'x'")),
    "batches": ("etl.batch", nothing),
}


@pytest.mark.parametrize("name", HARM)
def test_part(backups: Backups, loaded: Flow, name: str) -> None:
    """A layer or a table goes back by three runs, the others do not: the next run makes all of it right."""
    what, harm = HARM[name]
    harm(loaded)
    loaded.operational.execute(AFTER)
    assert "would be overwritten" in backups.run("restore", what, code=REFUSED)
    assert "it would take --force" in backups.run("restore", what, "--dry-run")
    said = backups.run("restore", what, "--force")
    assert "rows are back" in said
    if "cascade" in said or name.endswith("dropped"):
        alembic(loaded.warehouse.dsn, command.upgrade, "head")
    loaded.run()
    assert_all_arrived(loaded)
    loaded.operational.execute("insert into public.sales values (2, 4, 78); delete from public.sales where qty = 11")
    loaded.run()
    assert_all_arrived(loaded)
    assert loaded.warehouse.query("select from etl.source_table where needs_resync or needs_rebuild") == []
    assert backups.log("restore") == ["succeeded"]


def test_part_of_a_source_captured_by_log(backups: Backups, source: Flow) -> None:
    """The mirror goes back, the slot does not: what the slot no longer has comes from the tables themselves."""
    register(source, "log")
    source.run()
    backups.make()
    move_on(source)
    source.operational.execute(AFTER)
    backups.run("restore", "mrr", "--force")
    source.run()
    assert_all_arrived(source)
    backups.run("restore", "etl", "--force")
    source.run()
    assert_all_arrived(source)
    source.operational.execute("insert into public.sales values (2, 4, 78)")
    source.run()
    assert_all_arrived(source)


def test_part_keeps_dates(backups: Backups, loaded: Flow) -> None:
    """Facts keep their dates when dwh goes back, those that are younger than the backup included."""
    query = "select customer_id, product_id, qty, captured_at from dwh.fact_sales order by 1, 2, 3, 4"
    before = loaded.warehouse.query(query)
    backups.run("restore", "dwh", "--force")
    loaded.run()
    assert loaded.warehouse.query(query) == before
    assert_all_arrived(loaded)


def test_readers_of_dwh_see_old_or_new(backups: Backups, loaded: Flow) -> None:
    """While a layer is restored nobody reads an empty table, nor waits for it."""
    full = loaded.warehouse.value("select count(*) from dwh.fact_sales")
    reader = BackgroundRun(
        loaded.warehouse.connect(),
        "do $$ begin for i in 1..300 loop perform pg_sleep(0.01);"
        f" if (select count(*) not in ({full}, 7) from dwh.fact_sales) then raise 'half'; end if; end loop; end $$",
    )
    backups.run("restore", "dwh", "--force")
    reader.finish()


def test_progress_on_a_terminal(backups: Backups, loaded: Flow) -> None:
    """A line that moves says what goes on and since when, and is wiped away; the log has whole lines as ever."""
    terminal, messages = pty.openpty()
    with locked(loaded.warehouse, "dwh.fact_sales", "share"):
        restore = subprocess.Popen(
            [SCRIPTS / "restore.sh", "dwh", "--force"],
            env=backups.environment(),
            stderr=messages,
            stdin=subprocess.DEVNULL,
        )
        os.close(messages)
        said = ""
        while "restoring in one transaction, 2 s" not in said:
            assert select.select([terminal], [], [], 20)[0], f"nothing more was said than: {said}"
            said += os.read(terminal, 4096).decode()
    assert restore.wait(60) == 0
    said = os.read(terminal, 4096).decode()
    assert "\r\x1b[K" in said
    os.close(terminal)
    loaded.run()
    assert_all_arrived(loaded)


@pytest.mark.parametrize("what", ["stg", "stg.sales_changes", "mrr", "mrr.sales", "dwh"])
@pytest.mark.parametrize("where", ["in the backup", "here", "both"])
def test_part_beside_a_copy_that_waits(backups: Backups, source: Flow, what: str, where: str) -> None:
    """A first copy that waited at the backup, or waits now, has a view for a change set; its rows come once."""
    register(source, "full")
    source.warehouse.execute("update etl.settings set copy_from = 0")
    source.warehouse.execute(UNPREPARED)
    if where == "here":
        backups.make()
    source.warehouse.execute("call mrr.capture('sales')")
    if where != "here":
        backups.make()
    if where == "in the backup":
        source.run()
    assert source.warehouse.value("select to_regclass('stg.sales_written') is null") == (where == "in the backup")
    source.operational.execute(AFTER)
    backups.run("restore", what, "--force")
    source.run()
    assert_all_arrived(source)
    source.operational.execute("insert into public.sales values (2, 4, 78); delete from public.sales where qty = 11")
    source.run()
    assert_all_arrived(source)
    assert source.warehouse.query("select relname from pg_catalog.pg_class where relname like 'sales\\_written%'") == []


@pytest.mark.parametrize("what", ["stg.sales_changes", "stg"])
def test_dropped_beside_a_copy_that_waited(backups: Backups, source: Flow, what: str) -> None:
    """What was a view in the backup comes back as the table that it is without a copy."""
    register(source, "full")
    source.warehouse.execute("update etl.settings set copy_from = 0")
    source.warehouse.execute(UNPREPARED)
    source.warehouse.execute("call mrr.capture('sales')")
    backups.make()
    source.run()
    source.warehouse.execute("drop table stg.sales_changes" if what != "stg" else "drop schema stg cascade")
    backups.run("restore", what, "--force")
    alembic(source.warehouse.dsn, command.upgrade, "head")
    source.operational.execute(AFTER)
    source.run()
    assert_all_arrived(source)


def test_table_that_only_looks_like_that_of_a_copy(backups: Backups, loaded: Flow) -> None:
    """A table of others is restored with its layer, whatever its name is."""
    loaded.warehouse.execute("create table stg.letters_changes (a int); create table stg.letters_written (a int)")
    loaded.warehouse.execute("insert into stg.letters_written values (1)")
    backups.make()
    loaded.warehouse.execute("delete from stg.letters_written")
    backups.run("restore", "stg", "--force")
    assert loaded.warehouse.query("select * from stg.letters_written") == [(1,)]


def test_table_that_was_not_there(backups: Backups, loaded: Flow) -> None:
    """What the backup does not have is named, before anything is touched."""
    assert "has no table dwh.nothing" in backups.run("restore", "dwh.nothing", "--force", code=USAGE)
    assert backups.log("restore") == []
    assert loaded.last_run() == ("succeeded",)
