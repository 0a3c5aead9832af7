"""Logical backups: whole or not at all, of one snapshot, without disturbing runs; a bad one is found."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backups import BAD, BUSY, FAILED, FINDINGS, SCRIPTS, USAGE, Backups, seal
from tests.support import BackgroundRun, Flow, locked, raises, wait_until, waiting_for_lock

BROKEN = """
create function public.broken() returns trigger language plpgsql as 'begin raise ''out of order''; end';
create trigger broken before insert on dwh.fact_sales for each row execute function public.broken()
"""
GATE = """
create table public.gate (a int);
create function public.pass() returns trigger language plpgsql security definer
as 'begin insert into public.gate values (1); return null; end';
create trigger gate before insert on mrr.sales execute function public.pass()
"""
POLLING = "select from pg_stat_activity where wait_event = 'PgSleep' and query like 'call etl.run%%'"
FACT = "dwh.fact_sales"  # pg_dump locks partitioned tables, the session that holds the snapshot does not


@pytest.fixture
def backups(tmp_path: Path, sales: Flow) -> Backups:
    """Return a directory for backups of the sample, loaded once."""
    sales.seed()
    sales.run()
    return Backups(tmp_path / "backups", sales.warehouse)


def test_what_a_backup_holds(backups: Backups, sales: Flow) -> None:
    """All layers, the roles, a manifest of what there was, and no password of anybody, in any form."""
    name = backups.make()
    directory = backups.logical / name
    assert {path.name for path in directory.iterdir()} == {
        "base", "etl", "mrr", "stg", "dwh", "roles.sql", "manifest.json", "SHA256SUMS"
    }  # fmt: skip
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["tables"]["mrr.sales"]["rows"] == 13
    assert manifest["tables"]["stg.quarantine"]["rows"] == 6
    assert manifest["batch"] == manifest["pipelines"]["sales"]["published"] == 1
    assert manifest["sources"]["op"]["lsn"]
    assert manifest["sources"]["op"]["user"] == "headrace_source"
    assert manifest["revision"] == sales.warehouse.value("select version_num from public.alembic_version")
    assert "CREATE ROLE headrace_owner" in (directory / "roles.sql").read_text()
    whole = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    server = sales.warehouse.server
    for password in (
        server.password,
        *server.passwords.values(),
        sales.operational.server.passwords["headrace_source"],
    ):
        assert password.encode() not in whole
    assert b"SCRAM-SHA-256$" not in whole
    assert all((path.stat().st_mode & 0o077) == 0 for path in directory.rglob("*"))
    assert sales.warehouse.row(
        "select backup_status, backup_at is not null, verify_status from etl.status where pipeline = 'sales'"
    ) == ("succeeded", True, None)
    assert backups.left_over() == []
    assert name in backups.run("backup", "list")


def test_role_that_makes_backups_and_nothing_else(backups: Backups, sales: Flow) -> None:
    """The role that docs/backup.md makes suffices, may not write, and does not see the passwords of sources either."""
    server = sales.warehouse.server
    page = (SCRIPTS.parent / "docs/backup.md").read_text()
    statements = re.search(r"^create role headrace_backup.*?^```", page, re.M | re.S)
    assert statements
    try:
        sales.warehouse.execute(statements[0].removesuffix("```").replace("login", "login password 'makes-them'"))
        sales.warehouse.execute(f"grant connect on database {sales.warehouse.name} to headrace_backup")
        backups.run(
            "backup", "logical", WAREHOUSE_DSN=sales.warehouse.dsn_of("headrace_backup", "makes-them"),
        )  # fmt: skip
        assert "is good" in backups.run("verify")
        server.passwords["headrace_backup"] = "makes-them"
        with sales.warehouse.connect("headrace_backup") as session, raises("42501"):
            session.execute("delete from dwh.fact_sales")
    finally:
        server.passwords.pop("headrace_backup", None)
        sales.warehouse.execute("drop owned by headrace_backup; drop role headrace_backup")


def test_a_layer_alone(backups: Backups) -> None:
    """A backup of one layer holds its rows, and the definitions of everything."""
    name = backups.make("mrr")
    manifest = json.loads((backups.logical / name / "manifest.json").read_text())
    assert {table["layer"] for table in manifest["tables"].values()} == {"base", "mrr"}


def test_runs_go_on_meanwhile(backups: Backups, sales: Flow) -> None:
    """While a backup is at work runs succeed, and what it holds is of one moment."""
    with locked(sales.warehouse, f"only {FACT}"):
        process = backups.start("backup", "logical")
        waiting_for_lock(sales.warehouse, FACT)
    sales.operational.execute(
        "insert into public.sales values (1, 1, 5), (2, 2, 6); delete from public.sales where qty = 7"
    )
    while process.poll() is None:
        sales.operational.execute("insert into public.sales values (2, 2, 6)")
        sales.run()
    assert process.wait() == 0
    assert sales.warehouse.query("select distinct status from etl.run_log") == [("succeeded",)]
    assert sales.warehouse.value("select count(*) from etl.run_log") > 2
    assert "one run: good" in backups.run("verify")


def test_locks_that_a_backup_must_not_need(sales: Flow) -> None:
    """Partitions are attached, and change sets emptied, while the tables are locked as a backup locks them."""
    sales.seed()
    sales.run()
    with sales.warehouse.connect(autocommit=False) as holder:
        holder.execute(
            "do $$ declare t record; begin for t in select c.oid::regclass as r from pg_catalog.pg_class c"
            " where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text in ('mrr', 'stg', 'dwh', 'etl') loop"
            " execute format('lock table %s in access share mode', t.r); end loop; end $$"
        )
        sales.warehouse.execute("set lock_timeout = '2s'")
        sales.warehouse.execute("update etl.warehouse set time_zone = 'UTC'")
        sales.warehouse.execute("select dwh.ensure_partition('dwh.fact_sales', '2031-05-05')")
        sales.operational.execute("insert into public.sales values (1, 1, 5)")
        sales.run()
        holder.rollback()
    sales.assert_facts_equal_model()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_killed_in_the_middle(backups: Backups, sales: Flow, number: signal.Signals) -> None:
    """Nothing that looks whole is left, the log says so, and the next backup clears away and succeeds."""
    with locked(sales.warehouse, f"only {FACT}"):
        process = backups.start("backup", "logical", TMPDIR=str(backups.directory.parent))
        waiting_for_lock(sales.warehouse, FACT)
        assert [path for path in backups.left_over() if path.startswith(".partial-")]
        process.send_signal(number)
        process.wait(20)
        assert backups.names == []
        if number != signal.SIGKILL:
            wait_until(lambda: backups.left_over() == [], what="the end of the half backup")
            assert backups.log("logical") == ["failed"]
        else:
            assert "another" in backups.run("backup", "logical", code=BUSY), "its pg_dump still writes"
    wait_until(lambda: free(backups), what="the end of the programs of the killed script")
    backups.make()
    assert backups.log("logical") == ["failed" if number != signal.SIGKILL else "aborted", "succeeded"]
    assert backups.left_over() == []


def free(backups: Backups) -> bool:
    """Tell whether nobody holds the lock of a directory of backups."""
    return subprocess.run(["flock", "--nonblock", backups.directory / ".lock", "true"], check=False).returncode == 0


def test_one_at_a_time(backups: Backups, sales: Flow) -> None:
    """A second one says so, with a code of its own, and leaves the first one alone."""
    with locked(sales.warehouse, f"only {FACT}"):
        process = backups.start("backup", "logical")
        waiting_for_lock(sales.warehouse, FACT)
        for words in ("backup logical", "restore all", "verify"):
            assert "another" in backups.run(*words.split(), code=BUSY)
    assert process.wait(60) == 0
    assert len(backups.names) == 1


@pytest.mark.parametrize("script", ["backup logical", "restore all", "verify"])
def test_variables_of_others_are_left_alone(backups: Backups, tmp_path: Path, script: str) -> None:
    """What the environment has under the names of the scripts' own variables is not theirs to delete."""
    mine = tmp_path / "mine"
    mine.mkdir()
    names = ("WORK", "PART", "SCRATCH", "MADE", "RESTORED", "HOLDER", "IN_RUN", "BYTES")
    nowhere = re.sub(r":\d+/", ":1/", backups.warehouse.dsn)
    backups.run(*script.split(), code=FAILED, WAREHOUSE_DSN=nowhere, **dict.fromkeys(names, str(mine)))
    assert mine.exists()


def test_table_that_is_being_changed(backups: Backups, sales: Flow) -> None:
    """A backup does not wait for ever for a lock, says what to do, and leaves nothing."""
    with locked(sales.warehouse, "mrr.sales"):
        said = backups.run("backup", "logical", code=FAILED, HEADRACE_BACKUP_LOCK_TIMEOUT="1")
    assert "a table is being changed" in said
    assert backups.left_over() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_disk_is_full(backups: Backups, sales: Flow) -> None:
    """A backup that does not fit fails, says why, and leaves no half one; the old one stays."""
    sales.warehouse.execute("create table public.noise as select gen_random_uuid() from generate_series(1, 100000)")
    backups.directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "headrace-small", str(backups.directory)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("this machine does not let root mount a disk")
    try:
        said = backups.run("backup", "logical", code=FAILED)
        assert "No space left" in said
        assert "Free some space" in said
        assert (backups.names, backups.left_over()) == ([], [])
        assert backups.log("logical") == ["failed"]
    finally:
        subprocess.run(["umount", backups.directory], check=True)


def test_wrong_password(backups: Backups) -> None:
    """The words are libpq's, the code says that it failed, and no password is among them."""
    dsn = re.sub(r":[^:@/]+@", ":wrong-one@", backups.warehouse.dsn)
    said = backups.run("backup", "logical", code=FAILED, WAREHOUSE_DSN=dsn)
    assert "password authentication failed" in said
    assert "wrong-one" not in said
    assert not backups.logical.exists()


def test_no_password_in_the_list_of_processes(backups: Backups, sales: Flow) -> None:
    """Whoever looks at the processes of the machine sees no password of the warehouse."""
    with locked(sales.warehouse, f"only {FACT}"):
        process = backups.start("backup", "logical")
        waiting_for_lock(sales.warehouse, FACT)
        words = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert b"pg_dump" in words
    assert sales.warehouse.server.password.encode() not in words
    assert process.wait(60) == 0


# ----------------------------------------------------------------------------------------------------------------------
# Damage
# ----------------------------------------------------------------------------------------------------------------------
def truncate(directory: Path) -> None:
    """Cut the largest file in half."""
    file = max(directory.rglob("*.dat*"), key=lambda path: path.stat().st_size)
    os.truncate(file, file.stat().st_size // 2)


def flip(directory: Path) -> None:
    """Change one bit in the middle of a file."""
    file = max(directory.rglob("*.dat*"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lose(directory: Path) -> None:
    """Delete a file."""
    next(directory.glob("dwh/*.dat*")).unlink()


def cut_sums(directory: Path) -> None:
    """Delete a file together with its checksum."""
    sums = directory / "SHA256SUMS"
    _, *rest = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(rest))


@pytest.mark.parametrize("damage", [truncate, flip, lose, cut_sums])
def test_damaged_file(backups: Backups, damage: Callable[[Path], None]) -> None:
    """It is found, told, marked, and neither restored nor taken for the last good one."""
    good = backups.make()
    bad = "20990101T000000Z-all"
    shutil.copytree(backups.logical / good, backups.logical / bad)
    damage(backups.logical / bad)
    assert "not as it was written" in backups.run("restore", "all", "--force", code=BAD)
    assert bad in backups.run("verify", code=BAD)
    assert backups.log("verify") == ["failed"]
    assert "bad:" in backups.run("backup", "list")
    assert f"from {good}" in backups.run("restore", "all", "--force", "--dry-run")
    assert backups.log("restore") == []


def test_rows_that_are_not_those_of_the_manifest(backups: Backups) -> None:
    """Checksums that fit a wrong content do not help: rows and digests are compared after the restore."""
    name = backups.make()
    directory = backups.logical / name
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["tables"]["mrr.sales"]["digest"] = "1"
    manifest["tables"]["dwh.fact_sales_none"] = {"layer": "dwh", "rows": 1, "digest": "1"}
    text = json.dumps(manifest, indent=4, sort_keys=True)
    (directory / "manifest.json").write_text(text)
    seal(directory)
    said = backups.run("verify", "--no-run", code=BAD)
    assert "mrr.sales has as many rows, but not the same" in said
    assert "dwh.fact_sales_none is missing" in said


# ----------------------------------------------------------------------------------------------------------------------
# Verification
# ----------------------------------------------------------------------------------------------------------------------
def test_verified(backups: Backups, sales: Flow) -> None:
    """A good backup is restored, compared, checked and run; the outcome shows, and nothing is left of it."""
    sales.warehouse.execute("call etl.add_check('sales', 'fine', 'error', 'select 1 where false')")
    name = backups.make()
    sales.operational.execute("insert into public.sales values (1, 1, 50)")
    said = backups.run("verify")
    for words in ("tables: good", "checks: good", "1 changes captured", "one run: good", f"{name} is good"):
        assert words in said
    assert sales.warehouse.row("select verify_status, verified_at is not null from etl.status") == ("succeeded", True)
    assert sales.warehouse.value("select backup from etl.backups where kind = 'verify'") == name
    assert not list(Path("/tmp").glob("headrace-verify-*/server/data/postmaster.pid"))
    assert sales.warehouse.value("select count(*) from etl.run_log") == 1, "the warehouse itself was run"


def test_verified_while_the_source_is_away(backups: Backups, sales: Flow) -> None:
    """The backup is good all the same, and the log says what was left out."""
    sales.warehouse.execute("alter server op options (set port '1')")
    backups.make()
    assert "left out, since the source does not answer" in backups.run("verify")
    assert "without a run" in sales.warehouse.value("select message from etl.backups where kind = 'verify'")


def test_check_that_fails(backups: Backups, sales: Flow) -> None:
    """A restored warehouse that fails a check is a finding, and the backup of it is as good as it was."""
    backups.make()
    sales.warehouse.execute("call etl.add_check('sales', 'never', 'error', 'select 1')")
    name = backups.make()
    (backups.logical / f"{name}.bad").write_text("bad: for a test\n")
    said = backups.run("verify", "--no-run", code=FINDINGS)
    assert "check never of pipeline sales found 1 rows" in said
    assert_kept(backups, name, "check never")


def test_run_that_fails(backups: Backups, sales: Flow) -> None:
    """A run that fails in the restored warehouse is a finding, and the backup of it is as good as it was."""
    sales.warehouse.execute(BROKEN)
    name = backups.make()
    sales.operational.execute("insert into public.sales values (1, 1, 50)")
    assert "out of order" in backups.run("verify", code=FINDINGS)
    assert_kept(backups, name, "the run failed")


def assert_kept(backups: Backups, name: str, finding: str) -> None:
    """Check that a backup is none the worse for a finding, which the log has all the same."""
    assert not (backups.logical / f"{name}.bad").exists()
    assert f"from {name}" in backups.run("restore", "all", "--force", "--dry-run")
    assert backups.log("verify") == ["failed"]
    assert finding in backups.warehouse.value("select message from etl.backups where kind = 'verify'")


def test_archive_that_cannot_be_restored(backups: Backups) -> None:
    """Checksums that fit an archive which pg_restore cannot read do not help: the backup is bad."""
    name = backups.make()
    file = max((backups.logical / name).glob("dwh/[0-9]*.dat*"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-20])
    seal(backups.logical / name)
    assert "could not be restored" in backups.run("verify", "--no-run", code=BAD)
    assert (backups.logical / f"{name}.bad").exists()
    assert backups.log("verify") == ["failed"]


# ----------------------------------------------------------------------------------------------------------------------
# What is kept
# ----------------------------------------------------------------------------------------------------------------------
def age(backups: Backups, name: str, moment: str) -> str:
    """Give a backup an older name."""
    old = f"{moment}-{name.partition('-')[2]}"
    (backups.logical / name).rename(backups.logical / old)
    return old


def test_retention(backups: Backups) -> None:
    """The newest n good ones stay, and all younger than so many days; a bad one counts for nothing."""
    one = age(backups, backups.make(), "20200101T000000Z")
    layer = age(backups, backups.make("mrr"), "20200102T000000Z")
    two = age(backups, backups.make(), "20200103T000000Z")
    (backups.logical / f"{two}.bad").write_text("bad: for a test\n")
    three = age(backups, backups.make(), "20200104T000000Z")
    assert {one, layer, two, three} <= set(backups.names), "all were kept, being fewer than seven"
    backups.run("backup", "logical", HEADRACE_BACKUP_KEEP="2", HEADRACE_BACKUP_KEEP_DAYS="100000")
    assert {one, two, three} <= set(backups.names), "all are young enough"
    four = backups.names[0]
    five = age(backups, four, "20200105T000000Z")
    backups.run("backup", "logical", HEADRACE_BACKUP_KEEP="2")
    assert set(backups.names) == {layer, five, backups.names[0]}
    assert not (backups.logical / f"{two}.bad").exists()
    (backups.logical / f"{backups.names[0]}.bad").write_text("bad: for a test\n")
    backups.run("backup", "logical", "mrr", HEADRACE_BACKUP_KEEP="1")
    assert five in backups.names, "it is the last good one"
    assert layer not in backups.names


# ----------------------------------------------------------------------------------------------------------------------
# Settings and help
# ----------------------------------------------------------------------------------------------------------------------
def test_settings_file(backups: Backups, tmp_path: Path, sales: Flow) -> None:
    """Settings come from one file; the environment wins; a line that is none is refused without being executed."""
    file = tmp_path / "backup.conf"
    server = sales.warehouse.server
    elsewhere = tmp_path / "else where"
    file.write_text(
        f"# a comment\nPGHOST={server.host}\nPGPORT = {server.port}\n".replace(" = ", "=")
        + f"PGUSER={server.user}\nPGDATABASE='{sales.warehouse.name}'\nHEADRACE_BACKUP_DIR=\"{elsewhere}\"\n"
    )
    environment = {"HEADRACE_BACKUP_CONF": str(file), "PGPASSWORD": server.password}
    process = subprocess.run(
        [str(SCRIPTS / "backup.sh"), "logical", "stg"], env={"PATH": os.environ["PATH"], **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert len(list((elsewhere / "logical").iterdir())) == 1
    file.write_text(f"touch {tmp_path}/executed\n")
    assert "no setting" in backups.run("backup", "logical", code=USAGE, HEADRACE_BACKUP_CONF=str(file))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("backup", []),
        ("backup", ["logical", "op"]),
        ("backup", ["--fast"]),
        ("restore", []),
        ("restore", ["all", "mrr"]),
        ("restore", ["all", "--at", "1", "--batch", "1"]),
        ("restore", ["all", "--batch", "x"]),
        ("restore", ["all", "--at", "noon of a day"]),
        ("restore", ["all", "--from", "20010101T000000Z-all"]),
        ("verify", ["both"]),
        ("verify", ["--from"]),
    ],
    ids=str,
)
def test_wrong_use(backups: Backups, script: str, arguments: list[str]) -> None:
    """It ends with 2 before anything is done."""
    backups.run(script, *arguments, code=USAGE)


@pytest.mark.parametrize("script", ["backup", "restore", "verify"])
def test_help(backups: Backups, script: str) -> None:
    """The help names every option that the script takes, and its exit codes."""
    text = (SCRIPTS / f"{script}.sh").read_text()
    said = backups.run(script, "--help")
    assert "Exit codes" in said
    for option in set(re.findall(r"^\s+(--[a-z|\- ]+)\)", text, re.M)):
        for word in option.replace("|", " ").split():
            assert word == "-h" or word in said


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        ("postgresql://me@other/copy", {}, {"PGHOST": "other", "PGUSER": "me", "PGDATABASE": "copy"}),
        ("postgresql://you@here/copy", {}, {"PGHOST": "here", "PGUSER": "you", "PGDATABASE": "copy"}),
        (
            "postgresql://me@other/copy",
            {"PGPASSWORD": "mine"},
            {"PGHOST": "other", "PGUSER": "me", "PGPASSWORD": "mine"},
        ),
        ("postgresql://me@here/copy", {}, {"PGDATABASE": "copy", "PGPASSWORD": "secret", "PGSSLMODE": "verify-full"}),
        ("postgresql://me:new@here/copy", {}, {"PGPASSWORD": "new", "PGSSLMODE": "verify-full"}),
    ],
    ids=["elsewhere", "another role", "given for all", "same server", "with a password"],
)
def test_password_stays_with_its_server(url: str, given: dict[str, str], expected: dict[str, str]) -> None:
    """What WAREHOUSE_DSN says of password and TLS goes to no other server, nor to another role."""
    origin = "postgresql://me:secret@here/warehouse?sslmode=verify-full"
    said = subprocess.run(
        ["bash", "-euc", f". {SCRIPTS}/lib/common.sh; PROGRAM=restore; load_settings; use_other_dsn {url}; env"],
        env={"PATH": os.environ["PATH"], "HEADRACE_BACKUP_CONF": "/dev/null", "WAREHOUSE_DSN": origin, **given},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    is_set = dict(line.split("=", 1) for line in said.splitlines() if line.startswith("PG"))
    assert expected.items() <= is_set.items()
    assert is_set.keys() - expected.keys() <= {"PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGAPPNAME"}


def test_two_at_the_same_second(backups: Backups) -> None:
    """Backups that follow each other at once have names of their own."""
    assert len({backups.make("stg"), backups.make("stg")}) == 2


def test_background(backups: Backups, sales: Flow) -> None:
    """A long reader of the warehouse does not hold up a backup, nor the backup a reader."""
    with sales.warehouse.connect() as session:
        reader = BackgroundRun(sales.warehouse.connect(), "select pg_sleep(3), count(*) from dwh.fact_sales")
        backups.make()
        session.execute("select count(*) from dwh.fact_sales")
    reader.finish()


# ----------------------------------------------------------------------------------------------------------------------
# What calls the scripts
# ----------------------------------------------------------------------------------------------------------------------
def test_units_and_manifest() -> None:
    """The systemd units are what systemd takes, and every command of units and CronJobs is a script with its words."""
    units = sorted((SCRIPTS / "systemd").iterdir())
    assert [unit.suffix for unit in units] == [".service", ".timer"] * 2
    texts = [path.read_text() for path in (*units, SCRIPTS / "kubernetes" / "cronjob.yaml")]
    commands = [
        line for text in texts for line in re.findall(r"(?:ExecStart=|command: \[)/opt/headrace/backup/(.*)", text)
    ]
    assert len(commands) == 5
    for command in commands:
        script, *words = re.split(r"[, ]+", command.rstrip("]"))
        assert os.access(SCRIPTS / script, os.X_OK)
        text = (SCRIPTS / script).read_text()
        assert all(word in text for word in words)
    analyze = shutil.which("systemd-analyze")
    if analyze:
        said = subprocess.run([analyze, "verify", *map(str, units)], capture_output=True, text=True, check=False).stderr
        assert [line for line in said.splitlines() if "headrace" in line and "is not executable" not in line] == []


# ----------------------------------------------------------------------------------------------------------------------
# Beside the first copy of a large table, whose change set is a view until it is published
# ----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def copying(tmp_path: Path, sales: Flow) -> Backups:
    """Return a directory for backups of the sample, of which even a small table is copied as a large one."""
    sales.seed()
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    return Backups(tmp_path / "backups", sales.warehouse)


def is_copied(flow: Flow) -> bool:
    """Tell whether a first copy waits."""
    return bool(flow.warehouse.value("select stg.is_copy('sales')"))


def test_copy_that_waits(copying: Backups, sales: Flow) -> None:
    """It is written out before the backup begins, so the run that publishes it does not wait for the backup's end."""
    sales.warehouse.execute("call mrr.capture('sales')")
    assert is_copied(sales)
    sales.warehouse.execute("create table public.stall (a int) partition by range (a)")  # no run needs it, pg_dump does
    with locked(sales.warehouse, "only public.stall"):
        process = copying.start("backup", "logical")
        waiting_for_lock(sales.warehouse, "public.stall")
        run = sales.start()
        run.finish()
        assert process.poll() is None
    assert process.wait(60) == 0
    sales.assert_facts_equal_model()
    assert "is good" in copying.run("verify")


@pytest.mark.parametrize("stop", ["public.gate", FACT], ids=["fills", "publishes"])
def test_run_that_copies(copying: Backups, sales: Flow, stop: str) -> None:
    """A backup waits for a run that copies, while it fills the mirror and while it publishes, and says so."""
    sales.warehouse.execute(GATE)
    with locked(sales.warehouse, stop, "share"):
        run = sales.start()
        waiting_for_lock(sales.warehouse, stop)
        process = copying.start("backup", "logical", HEADRACE_BACKUP_LOCK_TIMEOUT="1")
        assert process.stderr
        assert any("waiting for a run of sales" in line for line in process.stderr)
    run.finish()
    assert process.wait(60) == 0
    sales.assert_facts_equal_model()
    manifest = json.loads((copying.logical / copying.names[0] / "manifest.json").read_text())
    assert manifest["batch"] == 1
    assert "stg.sales_written" not in manifest["tables"]
    assert "is good" in copying.run("verify")


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("what", ["stg.sales_written", "mrr.sales"])
def test_copy_beside_a_dump_of_others(sales: Flow, what: str) -> None:
    """A run waits for whoever reads what it has to change, and lets in all who come later, as pg_dump's workers do."""
    sales.warehouse.execute("call mrr.capture('sales')")
    with locked(sales.warehouse, what, "access share"):
        run = sales.start()
        wait_until(lambda: sales.warehouse.query(POLLING), what="a run that waits")
        with sales.warehouse.connect(autocommit=False) as worker:
            worker.execute("set local lock_timeout = '3s'")
            worker.execute(f"lock table {what} in access share mode nowait")
            worker.execute("select pg_catalog.pg_get_viewdef('stg.sales_changes'::regclass)")
            worker.rollback()
        assert run.is_working
    run.finish()
    sales.assert_facts_equal_model()
    assert sales.warehouse.query("select message from etl.procedure_errors") == []
