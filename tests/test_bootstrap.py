"""The one command, as a user runs it: each test calls bootstrap.py in a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from db import machine
from db.home import Home
from db.instance import Instance, container_memory, free_port, holder, is_taken
from db.machine import Server
from db.problem import Problem
from db.stage import Stage
from tests.support import wait_until

ROOT = Path(__file__).resolve().parent.parent
Done = subprocess.CompletedProcess[str]


class Installation:
    """A home and two ports, and the command line that works on them."""

    def __init__(self) -> None:
        """Make an empty home that the servers' user can reach."""
        self.top = Path(tempfile.mkdtemp(prefix="headrace-cli-"))
        self.top.chmod(0o711)
        self.home = Home(self.top / "home")
        self.ports = {"--op-port": free_port(), "--wh-port": free_port()}

    def run(self, *words: str, **environment: str) -> Done:
        """Run bootstrap.py and return what it did."""
        return subprocess.run(
            [sys.executable, ROOT / "bootstrap.py", *words],
            env={**os.environ, "HEADRACE_HOME": str(self.home.path), **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=180, cwd="/",
        )  # fmt: skip

    def up(self, *words: str, **environment: str) -> Done:
        """Run ``up`` on this installation's ports."""
        return self.run("up", *(str(word) for flag in self.ports.items() for word in flag), *words, **environment)

    def dsn(self, name: str) -> str:
        """Return what a shell has in a variable after it evaluated ``env``."""
        script = f'eval "$("$0" "$1" env)"; printf %s "${name}"'
        return subprocess.run(
            ["sh", "-c", script, sys.executable, ROOT / "bootstrap.py"],
            env={**os.environ, "HEADRACE_HOME": str(self.home.path)}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    def destroy(self) -> None:
        """Stop and delete everything."""
        self.run("down", "--purge", "--yes")
        shutil.rmtree(self.top, ignore_errors=True)


@pytest.fixture
def empty() -> Iterator[Installation]:
    """Yield an installation of which nothing is there yet."""
    installation = Installation()
    yield installation
    installation.destroy()


@pytest.fixture(scope="module")
def deployed() -> Iterator[Installation]:
    """Yield an installation that is up; tests leave it up."""
    installation = Installation()
    done = installation.up()
    assert done.returncode == 0, done.stdout + done.stderr
    yield installation
    installation.destroy()


def complaint(done: Done) -> str:
    """Return the error of a command that failed as it should: a line, a way out, no traceback."""
    assert done.returncode not in (0, 2), done.stdout
    first, *way_out = done.stderr.splitlines()
    assert first.startswith("headrace: ")
    assert way_out, "no way out"
    assert all(line.startswith("  ") for line in way_out)
    assert "Traceback" not in done.stderr
    assert "mistake in this program" not in done.stderr
    return done.stderr


def processes(text: str) -> list[str]:
    """Return the command lines of this machine that hold a text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if text in line]


# ---------------------------------------------------------------------------------------------------------------------
# Up and down
# ---------------------------------------------------------------------------------------------------------------------
def test_without_a_command_it_explains_itself(empty: Installation) -> None:
    done = empty.run()
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("demo", "test", "up", "status", "env", "psql", "down"))


def test_up_registers_the_source_and_keeps_the_pipeline_on_schedule(deployed: Installation) -> None:
    with psycopg.connect(deployed.dsn("WAREHOUSE_DSN")) as warehouse:
        tables = warehouse.execute("select source_name, capture from etl.source_table order by 1").fetchall()
        assert tables == [("customers", "log"), ("products", "log"), ("sales", "log")]
        assert warehouse.execute("select from cron.job where command ilike '%etl.run%'").fetchone() is not None
    with psycopg.connect(deployed.dsn("OP_DSN")) as operational:
        assert operational.execute("select jobname from cron.job").fetchall() == [("headrace:sell",)]


def test_up_again_changes_nothing_and_is_quick(deployed: Installation) -> None:
    started = time.monotonic()
    done = deployed.run("up", PGSSLMODE="require", PGUSER="somebody", PGOPTIONS="-c search_path=nowhere")
    assert done.returncode == 0, done.stderr
    assert "was running" in done.stdout
    assert time.monotonic() - started < 10


def test_env_gives_administrators_and_a_reader_of_dwh_alone(deployed: Installation) -> None:
    with psycopg.connect(deployed.dsn("READER_DSN")) as reader:
        reader.execute("select * from dwh.dim_customer")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select * from mrr.customers")
    with psycopg.connect(deployed.dsn("MONITOR_DSN")) as monitor:
        monitor.execute("select * from etl.status")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            monitor.execute("select * from dwh.dim_customer")


def test_status_is_for_people_and_for_programs(deployed: Installation) -> None:
    done = deployed.run("status", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["state"] for row in found["instances"]] == ["running", "running"]
    assert [row["pipeline"] for row in found["pipelines"]] == ["sales"]
    assert "running" in deployed.run("status").stdout


def test_psql_opens_either_database(deployed: Installation) -> None:
    for name, database in (("op", "operational"), ("warehouse", "warehouse")):
        done = deployed.run("psql", name, "-XAtc", "select current_database()")
        assert done.stdout.strip() == database, done.stderr


def test_passwords_are_in_private_files_and_nowhere_else(deployed: Installation) -> None:
    files = list((deployed.home.path / "secrets").iterdir())
    assert len(files) >= 4
    private = [*files, deployed.home.path / "choices.json"]
    assert {file.stat().st_mode & 0o777 for file in private} == {0o600}
    texts = [file.read_text(errors="replace") for file in deployed.home.path.glob("*/log/*")]
    texts += [deployed.up().stdout, deployed.run("status").stdout, *processes("")]
    for file in files:
        assert not any(file.read_text() in text for text in texts), file.name


def test_instances_speak_scram_over_tcp_on_loopback_alone(deployed: Installation) -> None:
    for name in ("OP_DSN", "WAREHOUSE_DSN"):
        with psycopg.connect(deployed.dsn(name)) as connection:
            methods = connection.execute("select distinct auth_method from pg_hba_file_rules").fetchall()
            assert methods == [("scram-sha-256",)]
            settings = "select current_setting('listen_addresses'), current_setting('unix_socket_directories')"
            assert connection.execute(settings).fetchone() == ("127.0.0.1", "")
            durable = "select current_setting('fsync'), current_setting('log_parameter_max_length')"
            assert connection.execute(durable).fetchone() == ("on", "0")


def test_up_takes_a_source_and_a_warehouse_of_the_users_own(deployed: Installation) -> None:
    own = {}
    for name, database in (("OP_DSN", "shop"), ("WAREHOUSE_DSN", "dw")):
        with psycopg.connect(deployed.dsn(name), autocommit=True) as admin:
            admin.execute(f"create database {database}")
        own[database] = re.sub(r"/\w+$", f"/{database}", deployed.dsn(name))
    with psycopg.connect(own["shop"], autocommit=True) as shop:
        shop.execute("create table public.customers (id int primary key, name text, country text)")
        shop.execute("create table public.products (id int primary key, name text, groupname text)")
        shop.execute("create table public.sales (customerId int, productId int, qty int)")
        shop.execute("insert into public.sales values (1, 1, 3)")
        shop.execute("create role dba login password 'its-own'; grant select on all tables in schema public to dba")
    bare = re.sub(r"//[^@]+@", "//dba@", own["shop"])
    try:
        done = deployed.run("up", "--source", bare, "--warehouse", own["dw"], PGPASSWORD="its-own")
        assert done.returncode == 0, done.stderr
        with psycopg.connect(own["dw"], autocommit=True) as warehouse:
            warehouse.execute("call etl.run()")
            assert warehouse.execute("select customerid, productid, qty from mrr.sales").fetchall() == [(1, 1, 3)]
        found = json.loads(deployed.run("status", "--json").stdout)
        assert [row["kept in"] for row in found["instances"]] == ["your own server"] * 2
        assert psycopg.conninfo.conninfo_to_dict(deployed.dsn("OP_DSN"))["password"] == "its-own"
    finally:
        assert deployed.up("--source", "embedded", "--warehouse", "embedded").returncode == 0


@pytest.fixture
def shop(deployed: Installation) -> Iterator[str]:
    """Yield the URL of a role that may read and replicate a database that is not the sample."""
    admin_dsn = re.sub(r"/\w+$", "/orders", deployed.dsn("OP_DSN"))
    with psycopg.connect(deployed.dsn("OP_DSN"), autocommit=True) as operational:
        operational.execute("create database orders")
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(
            "create table public.sales (id int primary key, qty int);"
            " create role clerk login replication password 'ink'; grant select on public.sales to clerk"
        )
    yield re.sub(r"//[^@]+@", "//clerk@", admin_dsn)
    with psycopg.connect(deployed.dsn("OP_DSN"), autocommit=True) as operational:
        operational.execute("drop database orders with (force)")
        operational.execute("drop role clerk")


def test_a_source_that_is_not_the_sample_comes_alone_stays_itself_and_keeps_no_slot(
    deployed: Installation, empty: Installation, shop: str
) -> None:
    done = empty.up("--source", shop, PGPASSWORD="ink")
    assert done.returncode == 0, done.stderr
    assert "call etl.add_table('op'" in done.stdout
    with psycopg.connect(deployed.dsn("OP_DSN"), autocommit=True) as source:
        with psycopg.connect(empty.dsn("WAREHOUSE_DSN"), autocommit=True) as warehouse:
            assert warehouse.execute("select * from etl.source_table").fetchall() == []
            (name,) = warehouse.execute("select etl.slot_name('sales')").fetchone() or ("",)
            admin_dsn = re.sub(r"//[^@]+@", f"//{source.info.user}:{source.info.password}@", shop)
            with psycopg.connect(admin_dsn, autocommit=True) as admin:
                admin.execute(f"create publication {name} for table public.sales")
            warehouse.execute("call etl.add_table('op', 'public.sales', pipeline => 'sales', capture => 'log')")
            warehouse.execute("call etl.run('sales')")
        assert source.execute("select slot_name from pg_replication_slots").fetchall().count((name,)) == 1
        assert empty.up("--source", shop, PGPASSWORD="ink").returncode == 0
        text = complaint(empty.up("--source", deployed.dsn("OP_DSN")))
        assert "public.sales" in text
        assert "add-source" in text
        assert empty.run("down").returncode == 0
        done = empty.run("down", "--purge", "--yes")
        assert done.returncode == 0, done.stderr
        assert source.execute("select slot_name from pg_replication_slots").fetchall().count((name,)) == 0


def test_add_source_asks_for_a_password_without_showing_it(deployed: Installation, shop: str) -> None:
    assert "wants a password" in complaint(deployed.run("add-source", "shop", shop))
    terminal, stdin = pty.openpty()
    with subprocess.Popen(
        [sys.executable, ROOT / "bootstrap.py", "add-source", "shop", shop],
        env={**os.environ, "HEADRACE_HOME": str(deployed.home.path)}, start_new_session=True,
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        prompt = b""
        while not prompt.endswith(b"source: "):
            prompt += process.stderr.read(1)
        os.write(terminal, b"ink\n")
        out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert b"call etl.add_table('shop'" in out
    os.set_blocking(terminal, False)
    with contextlib.suppress(BlockingIOError):
        assert b"ink" not in os.read(terminal, 1000)
    os.close(terminal)
    os.close(stdin)
    with psycopg.connect(deployed.dsn("WAREHOUSE_DSN"), autocommit=True) as warehouse:
        assert warehouse.execute("select from etl.source where source = 'shop'").fetchone() is not None
        warehouse.execute("call etl.remove_source('shop')")


def test_add_source_says_where_other_kinds_are_registered(deployed: Installation) -> None:
    for given in ("mysql://reader:ink@db2/crm", "/data/sales.csv"):
        text = complaint(deployed.run("add-source", "crm", given))
        assert "fdw => 'mysql_fdw'" in text
        assert "ink" not in text
    assert "other-sources.md" in deployed.run("add-source", "--help").stdout


def test_alembic_works_on_the_warehouse(deployed: Installation) -> None:
    done = deployed.run("alembic", "current")
    assert (done.returncode, "(head)" in done.stdout) == (0, True), done.stderr
    assert "create schema" in deployed.run("alembic", "upgrade", "head", "--sql").stdout
    assert deployed.run("alembic", "upgrade", "nowhere").returncode != 0


def test_demo_shows_a_run_of_pg_cron_and_a_sale_that_travels(empty: Installation) -> None:
    words = ("--rows", "2000", *(str(word) for flag in empty.ports.items() for word in flag))
    for patience in (150, 10):
        started = time.monotonic()
        done = empty.run("demo", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert time.monotonic() - started < patience
        assert re.search(r"✓ a run that pg_cron started .* run \d+ succeeded", done.stdout)
        travelled = re.search(r"✓ a sale, .* (\S+) s after its commit", done.stdout)
        assert travelled, done.stdout
        assert float(travelled[1]) < 8
        assert "select dwh.most_popular_product()" in done.stdout
    with psycopg.connect(empty.dsn("WAREHOUSE_DSN")) as warehouse:
        assert (
            warehouse.execute(
                "select * from etl.run_log r where r.status <> 'succeeded' and not ("
                " r.status = 'skipped' and r.started_from = 'bootstrap.py' and exists ("
                "   select from etl.run_log o where o.status = 'succeeded' and o.started_from = 'pg_cron'"
                "   and o.started_at <= r.started_at and o.finished_at >= r.started_at))"
            ).fetchall()
            == []
        )
        assert warehouse.execute("select next_run_at - now() < interval '61 s' from etl.status").fetchall() == [(True,)]
        assert warehouse.execute("select * from etl.procedure_errors").fetchall() == []


def test_a_stage_tells_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.stage.EVERY", 0.0)
    with Stage("read") as stage:
        stage.tell("5 of 9 rows")
        stage.tell("")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["·", "read", "0.0", "s", "5", "of", "9", "rows"], ["✓", "read", "0.0", "s"]
    ]  # fmt: skip


def test_down_keeps_data_and_up_finds_it(deployed: Installation) -> None:
    with psycopg.connect(deployed.dsn("OP_DSN"), autocommit=True) as operational:
        operational.execute("insert into public.customers values (-1, 'Kept', 'Chile')")
    assert deployed.run("down").returncode == 0
    assert not processes(str(deployed.home.path))
    assert deployed.run("status").returncode == 3
    assert deployed.up().returncode == 0
    with psycopg.connect(deployed.dsn("OP_DSN"), autocommit=True) as operational:
        assert operational.execute("delete from public.customers where id = -1").rowcount == 1


def test_up_recovers_from_a_killed_server(deployed: Installation) -> None:
    file = deployed.home.path / "warehouse/data/postmaster.pid"
    os.kill(int(file.read_text().splitlines()[0]), signal.SIGKILL)
    done = deployed.up()
    assert done.returncode == 0, done.stderr
    with psycopg.connect(deployed.dsn("WAREHOUSE_DSN")) as warehouse:
        assert warehouse.execute("select count(*) from etl.source_table").fetchone() == (3,)


@pytest.fixture
def killed(empty: Installation) -> Instance:
    """Return an instance whose postmaster was killed, once the kernel has closed its port."""
    empty.home.prepare()
    instance = Instance("operational", empty.home, empty.ports["--op-port"], throwaway=True)
    instance.start(machine.installed())
    os.kill(int((instance.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    wait_until(lambda: not is_taken(instance.port), what="the port to close")
    return instance


def test_what_is_left_of_a_killed_server_and_holds_its_port_is_ended(killed: Instance) -> None:
    listen = (
        "import socket, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1);"
        f" s.bind(('127.0.0.1', {killed.port})); s.listen(); print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", listen], cwd=killed.data, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()
        try:
            killed.start(machine.installed())
        finally:
            left.kill()
    assert left.returncode == -signal.SIGTERM
    assert killed.stop(machine.installed())


@contextlib.contextmanager
def held_by_nobody(port: int) -> Iterator[socket.socket]:
    """Listen on a port with a socket that is on its way through another, which is yielded: no process has it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            socket.send_fds(ours, [b"here"], [taken.fileno()])
        yield theirs


def test_a_port_is_waited_for_that_the_kernel_is_about_to_close(
    killed: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    with held_by_nobody(killed.port) as carrier:

        def look(port: int) -> tuple[str, str]:
            seen.append(holder(port)[0])
            if len(seen) == 3:
                carrier.close()
            return holder(port)

        monkeypatch.setattr("db.instance.holder", look)
        killed.start(machine.installed())
    assert seen == ["", "", ""]
    assert killed.stop(machine.installed())


def is_bound(client: socket.socket, port: int) -> bool:
    """Bind a client's own port, unless the kernel still keeps it for another one."""
    with contextlib.suppress(OSError):
        client.bind(("127.0.0.1", port))
        return True
    return False


def test_a_client_that_has_the_port_by_chance_is_named(killed: Instance) -> None:
    """The kernel gives a client any port that is free, one that a server will want as well."""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as client:
        wait_until(lambda: is_bound(client, killed.port), what="the port")
        client.connect(other.getsockname())
        with pytest.raises(Problem, match=rf"port {killed.port} .* is taken by process {os.getpid()} "):
            killed.start(machine.installed())


def test_a_port_is_not_waited_for_for_ever(killed: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.instance.PORT_CLOSES", 0.3)
    with held_by_nobody(killed.port), pytest.raises(Problem, match=f"port {killed.port} .* is taken by a process"):
        killed.start(machine.installed())


@pytest.mark.parametrize(("said", "memory"), [("1073741824\n", 2**30), ("max\n", sys.maxsize), (None, sys.maxsize)])
def test_a_container_has_the_memory_that_it_may_take(tmp_path: Path, said: str | None, memory: int) -> None:
    """The kernel says how much that is, or that it is not bounded; an older one says nothing."""
    if said is not None:
        (tmp_path / "memory.max").write_text(said)
    assert container_memory(tmp_path / "memory.max") == memory


def test_a_half_made_instance_is_made_anew(empty: Installation) -> None:
    empty.home.prepare()
    part = empty.home.path / "operational/data.part"
    part.mkdir(parents=True)
    (part / "PG_VERSION").write_text("15")
    instance = Instance("operational", empty.home, empty.ports["--op-port"], throwaway=True)
    instance.start(machine.installed())
    with psycopg.connect(instance.dsn()) as connection:
        assert connection.execute("select current_database()").fetchone() == ("operational",)
    assert not part.exists()
    assert instance.stop(machine.installed())


def test_purge_asks_first(deployed: Installation) -> None:
    assert "--yes" in complaint(deployed.run("down", "--purge"))
    assert (deployed.home.path / "warehouse/data").exists()


def test_purge_deletes_everything_that_was_made(empty: Installation) -> None:
    empty.home.prepare()
    empty.home.password("operational.postgres")
    assert empty.run("down", "--purge", "--yes").returncode == 0
    assert not empty.home.path.exists()


# ---------------------------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------------------------
def test_a_taken_port_says_who_has_it_and_which_flag_helps(empty: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        empty.ports["--op-port"] = taken.getsockname()[1]
        text = complaint(empty.up())
    assert f"process {os.getpid()} " in text
    assert "--op-port" in text


def test_the_servers_user_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def add(*_: object, **__: object) -> Done:
        time.sleep(0.1)
        made.append(machine.OS_USER)
        return Done([], 0)

    def find(name: str) -> str:
        if name not in made:
            raise KeyError(name)
        return name

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("db.machine.subprocess.run", add)
    monkeypatch.setattr("db.machine.pwd.getpwnam", find)
    with ThreadPoolExecutor() as pool:
        found: list[object] = [*pool.map(lambda _: machine.os_user(), range(4))]
    assert found == [machine.OS_USER] * 4
    assert made == [machine.OS_USER]


def test_two_instances_need_two_ports(empty: Installation) -> None:
    assert "--wh-port" in complaint(empty.run("up", "--op-port", "50000", "--wh-port", "50000"))


def test_a_home_that_cannot_be_written_is_named(empty: Installation) -> None:
    file = empty.top / "file"
    file.touch()
    assert "HEADRACE_HOME" in complaint(empty.run("up", HEADRACE_HOME=str(file / "home")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")
def test_a_home_that_the_servers_cannot_enter_is_named(empty: Installation) -> None:
    empty.top.chmod(0o700)
    assert machine.OS_USER in complaint(empty.up())


def test_a_second_command_at_the_same_time_is_told_so(empty: Installation) -> None:
    with empty.home.locked():
        assert "another bootstrap.py" in complaint(empty.up())


def test_an_unreachable_source_is_named_without_its_password(deployed: Installation) -> None:
    text = complaint(deployed.up("--source", f"postgresql://reader:open-sesame@127.0.0.1:{free_port()}/shop"))
    assert "cannot be reached" in text
    assert "sesame" not in text
    assert "the source" not in deployed.run("status").stdout, "a failed choice is not kept"


def test_a_wrong_password_is_called_that(deployed: Installation) -> None:
    dsn = deployed.dsn("OP_DSN")
    text = complaint(deployed.up("--source", re.sub(r":[^:@]+@", ":open-sesame@", dsn)))
    assert "does not accept the password of postgres" in text
    assert "sesame" not in text


def test_a_malformed_dsn_is_not_repeated(deployed: Installation) -> None:
    text = complaint(deployed.up("--source", "open-sesame"))
    assert "postgresql://" in text
    assert "sesame" not in text


def test_a_source_that_may_not_be_read_shows_what_its_dba_runs(deployed: Installation) -> None:
    with psycopg.connect(deployed.dsn("OP_DSN"), autocommit=True) as operational:
        operational.execute("create role stranger login password 'stranger'")
    stranger = re.sub(r"//[^@]+@", "//stranger:stranger@", deployed.dsn("OP_DSN"))
    assert "grant select on public.customers" in complaint(deployed.up("--source", stranger))


def test_nothing_installed_is_said_before_anything_is_done(empty: Installation) -> None:
    done = empty.run("down")
    assert done.returncode == 0
    assert "Nothing is installed" in done.stdout
    assert not empty.home.path.exists()


def test_disk_full_is_said_before_it_is(empty: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.home.NEEDED_BYTES", 2**60)
    empty.home.prepare()
    with pytest.raises(Problem, match="disk full"):
        Instance("operational", empty.home, free_port()).make(machine.choose(machine.installed()))


ALL = frozenset(machine.EXTENSIONS)


@pytest.mark.parametrize(
    ("servers", "what"),
    [
        ([], "not installed"),
        ([Server(13, Path("/pg13"), ALL)], "13 in /pg13 is too old"),
        ([Server(15, Path("/pg15"), ALL - {"pg_cron"})], "lacks pg_cron"),
    ],
)
def test_a_machine_without_a_fit_server_says_what_is_missing(servers: list[Server], what: str) -> None:
    with pytest.raises(Problem, match=what) as caught:
        machine.choose(servers)
    assert "postgresql-15-cron" in caught.value.way_out


def test_the_newest_server_that_has_everything_is_taken() -> None:
    servers = [Server(18, Path("/pg18"), frozenset()), Server(17, Path("/pg17"), ALL), Server(15, Path("/pg15"), ALL)]
    assert machine.choose(servers).version == 17


# ---------------------------------------------------------------------------------------------------------------------
# Tests and packages
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_test_run_leaves_nothing(empty: Installation, number: int) -> None:
    sleeper = empty.top / "test_sleeper.py"
    sleeper.write_text(
        "import os, time\n"
        "def test_sleep():\n"
        "    print('at', os.environ['HEADRACE_HOME'], flush=True)\n"
        "    time.sleep(120)\n"
    )
    command = [sys.executable, str(ROOT / "bootstrap.py"), "test", "-s", "-p", "no:cacheprovider", str(sleeper)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    home = next(match[1] for line in process.stdout if (match := re.search(r"at (\S+)", line)))
    assert processes(home)
    process.send_signal(number)
    process.stdout.read()
    assert process.wait(60) == 128 + number
    assert not processes(home)
    assert not Path(home).exists()


def test_a_test_run_ends_with_pytests_summary_and_its_exit_code(empty: Installation) -> None:
    failing = empty.top / "test_failing.py"
    failing.write_text("def test_no():\n    assert 1 == 2\n")
    done = empty.run("test", "-p", "no:cacheprovider", str(failing))
    assert done.returncode == 1
    assert re.fullmatch(r"=+ 1 failed in .* =+", done.stdout.splitlines()[-1])


def test_the_lock_file_has_a_hash_for_everything_and_names_no_place() -> None:
    text = machine.LOCK.read_text()
    for requirement in re.split(r"\n(?=\S)", text):
        assert requirement.startswith("#") or "--hash=sha256:" in requirement, requirement
    assert "://" not in text
    assert "--find-links" not in text
