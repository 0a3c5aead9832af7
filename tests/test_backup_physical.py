"""Physical backups: the whole server by pgBackRest, to any moment; by pg_basebackup where that is absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command

from db.instance import free_port
from tests.backups import BAD, FAILED, REFUSED, RESTART, USAGE, Backups
from tests.capture import add_log_table, gaps, may_replicate, slots
from tests.conftest import SAMPLE, alembic, login, register
from tests.faults import Spare, assert_all_arrived, spare
from tests.support import Database, Flow, Server, wait_until
from tests.test_restore import AFTER, identity, move_on, run_as_told

SECOND = "select floor(extract(epoch from clock_timestamp()))::bigint"
SECRET = "correct horse battery staple"


@pytest.fixture(scope="module")
def server() -> Iterator[Spare]:
    """Yield an instance of its own, as an installed one is: pg_cron, and WAL that may be archived."""
    with spare("warehouse") as instance:
        yield instance


@pytest.fixture
def flow(server: Spare, operational: Database) -> Iterator[Flow]:
    """Yield the sample, captured from its source's log, loaded, in the one database of that instance."""
    warehouse = server.server.database(server.name)
    warehouse.execute("create extension if not exists pg_cron")
    alembic(warehouse.dsn, command.upgrade, "head")
    login(server.server, "headrace_runner")
    warehouse.execute("select cron.alter_job(jobid, active => false) from cron.job")
    flow = register(operational, warehouse)
    may_replicate(operational)
    flow.seed()
    for table in SAMPLE:
        add_log_table(flow, table, "sales")
    flow.run()
    yield flow
    warehouse.execute("call etl.drop_slots()")
    warehouse.close()
    alembic(warehouse.dsn, command.downgrade, "base")


@pytest.fixture
def backups(server: Spare, flow: Flow) -> Iterator[Backups]:
    """Yield a directory for backups that the server's user can enter, and set archiving back afterwards."""
    assert shutil.which("pgbackrest"), "pgbackrest is missing; python3 bootstrap.py test installs it"
    directory = server.home / "backups"
    yield Backups(directory, flow.warehouse)
    wait_until(lambda: reset(flow.warehouse), what="the server")
    shutil.rmtree(directory)


def reset(warehouse: Database) -> bool:
    """Set back what a backup has set."""
    warehouse.close()
    for name in ("archive_command", "archive_timeout"):
        warehouse.execute(f"alter system reset {name}")
    warehouse.execute("select pg_reload_conf()")
    return True


def test_just_before_a_drop(backups: Backups, flow: Flow, server: Spare) -> None:
    """A dropped table is there again in a copy beside the server, with an id, a slot and a schedule of its own."""
    assert "(full)" in backups.run("backup", "physical")
    flow.operational.execute("insert into public.sales values (1, 1, 50)")
    flow.run()
    assert "(incr)" in backups.run("backup", "physical")
    flow.operational.execute("insert into public.sales values (1, 1, 51)")
    flow.run()
    facts = flow.warehouse.query("select * from dwh.fact_sales order by sale_key")
    moment = flow.warehouse.value("select clock_timestamp()::text")
    flow.warehouse.execute("drop table dwh.fact_sales")
    flow.warehouse.execute("select pg_switch_wal()")
    slot = slots(flow)
    directory, port = server.home / "copy", free_port()
    where = ("--directory", str(directory), "--port", str(port))
    assert "would restore" in backups.run("restore", "physical", "--at", moment, *where, "--dry-run")
    assert not directory.exists()
    backups.run("restore", "physical", "--at", moment, *where)
    copy = Flow(
        flow.operational,
        Server(server.server.host, port, server.server.user, server.server.password).database(server.name),
    )
    try:
        assert copy.warehouse.query("select * from dwh.fact_sales order by sale_key") == facts
        assert identity(copy) != identity(flow)
        assert slots(flow) == slot
        assert copy.warehouse.query("select from cron.job where jobname like 'headrace:%%'") == []
        assert copy.warehouse.value("show archive_mode") == "off"
        assert flow.warehouse.query("select from cron.job where jobname like 'headrace:%%'") != []
        flow.operational.execute(AFTER.replace("id = 20", "id = 1").replace("(2, 4, 11)", "(2, 1, 11)"))
        run_as_told(copy)
        assert_all_arrived(copy)
        assert set(slots(flow)) > set(slot)
        copy.warehouse.execute("call etl.drop_slots()")
        backups.run("restore", "physical", *where, code=REFUSED)
    finally:
        copy.warehouse.close()
        server.stop_in(directory)
        shutil.rmtree(directory)


def test_three_runs_old_in_its_place(backups: Backups, flow: Flow, server: Spare) -> None:
    """The server goes back to a batch while its source and its slot went on; one run later they are level."""
    backups.run("backup", "physical")
    assert "no backup" in backups.run("restore", "physical", "--at", "2020-01-01", "--force", code=FAILED)
    complete = flow.warehouse.value(SECOND)
    wait_until(lambda: flow.warehouse.value(SECOND) > complete, what="the next second")
    flow.operational.execute("insert into public.sales values (1, 1, 40)")
    flow.run()
    batch = flow.warehouse.value("select max(batch_id) from etl.batch where published_at is not null")
    move_on(flow)
    flow.operational.execute(AFTER)
    before = identity(flow)
    assert "--force" in backups.run("restore", "physical", "--batch", str(batch), code=REFUSED)
    backups.run("restore", "physical", "--batch", "987654", "--force", code=FAILED)
    backups.run("restore", "physical", "--batch", str(batch), "--force")
    server.start()
    flow.warehouse.close()
    assert flow.warehouse.value("select max(batch_id) from etl.batch where published_at is not null") == batch
    assert identity(flow) == before
    flow.warehouse.execute("select cron.alter_job(jobid, active => false) from cron.job")
    flow.run()
    assert_all_arrived(flow)
    assert "restored from a backup" in gaps(flow)[0]
    assert "(incr)" in backups.run("backup", "physical"), "backups go on, on the new timeline"


def test_encrypted_verified_and_damaged(backups: Backups, flow: Flow) -> None:
    """What is stored does not show a name of a table; it is verified by a restore, which finds a flipped byte."""
    backups.settings = {"HEADRACE_BACKUP_CIPHER_PASS": SECRET, "HEADRACE_BACKUP_PHYSICAL_COMPRESS": "none"}
    said = backups.run("backup", "physical", "full")
    assert SECRET not in said
    repository = backups.directory / "physical" / "repository"
    files = [path for path in repository.rglob("*") if path.is_file()]
    assert not any(b"fact_sales" in path.read_bytes() for path in files)
    conf = backups.directory / "physical" / "pgbackrest.conf"
    assert conf.stat().st_mode & 0o077 == 0
    said = backups.run("verify", "physical")
    for words in ("as its checksum says", "checks: good", "one run: good", "pages: good"):
        assert words in said
    assert flow.warehouse.row("select backup_status, verify_status from etl.status") == ("succeeded", "succeeded")
    largest = max((path for path in files if "/pg_data/base/" in str(path)), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    backups.run("verify", "physical", code=BAD)
    assert flow.warehouse.value("select verify_status from etl.status") == "failed"


def test_without_pgbackrest(backups: Backups, flow: Flow, server: Spare) -> None:
    """pg_basebackup takes its place, says what it cannot do, and its backups are verified and restored."""
    backups.run("backup", "physical", "--basebackup")
    (name,) = [path.name for path in (backups.directory / "physical").iterdir()]
    assert name in backups.run("backup", "list")
    assert "one run: good" in backups.run("verify", "physical")
    directory, port = server.home / "copy", free_port()
    where = ("--directory", str(directory), "--port", str(port))
    assert "no archived WAL" in backups.run("restore", "physical", "--at", "2030-01-01", *where, code=USAGE)
    backups.run("restore", "physical", *where)
    copy = Server(server.server.host, port, server.server.user, server.server.password).database(server.name)
    try:
        assert copy.value("select count(*) from dwh.fact_sales") == 7
        assert copy.value("select etl.warehouse_id()") != identity(flow)
    finally:
        copy.close()
        server.stop_in(directory)
        shutil.rmtree(directory)
    file = max((backups.directory / "physical" / name / "base").rglob("*"), key=lambda path: path.stat().st_size)
    os.truncate(file, 8192)
    assert name in backups.run("verify", "physical", code=BAD)


def test_odd_directory(backups: Backups, flow: Flow) -> None:
    """WAL is archived into a directory with blanks in its name; one that its commands could not name is refused."""
    assert "plain name" in backups.run(
        "backup", "physical", code=USAGE, HEADRACE_BACKUP_DIR=f"{backups.directory}/it's"
    )
    assert flow.warehouse.value("show archive_command") == "/bin/true"
    backups.directory = backups.directory / "on another disk"
    backups.directory.mkdir(parents=True)
    backups.directory.parent.chmod(0o711)
    assert "(full)" in backups.run("backup", "physical")
    assert "one run: good" in backups.run("verify", "physical")


def test_what_the_server_must_be(backups: Backups, flow: Flow) -> None:
    """Another archive_command is not replaced unasked; until the first backup nothing piles up."""
    wh = flow.warehouse
    assert wh.row("select current_setting('archive_mode'), current_setting('archive_command')") == ("on", "/bin/true")
    wh.execute("alter system set archive_command = 'cp %p /elsewhere/%f'")
    wh.execute("select pg_reload_conf()")
    wait_until(lambda: wh.value("show archive_command") != "/bin/true", what="the setting")
    assert "--force" in backups.run("backup", "physical", code=REFUSED)
    assert wh.value("show archive_command") == "cp %p /elsewhere/%f"
    assert backups.log("physical") == ["failed"]


def test_archiving_that_takes_a_restart(warehouse: Database, tmp_path: Path) -> None:
    """Where archive_mode is off it is set, and the script says that the server has to be restarted."""
    backups = Backups(tmp_path / "backups", warehouse)
    mode = warehouse.value("show archive_mode")
    assert mode == "off", "servers of a test run archive nothing"
    try:
        said = backups.run("backup", "physical", code=RESTART)
        assert "restarted" in said
        (tmp_path / "backups" / ".lock").unlink()
    finally:
        warehouse.execute("alter system reset archive_mode")
        warehouse.execute("alter system reset wal_level")
