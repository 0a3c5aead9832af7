"""What the tests of faults share: instances that can be killed, a frozen process, a source that is silent."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from db import machine
from db.home import Home
from db.instance import Instance, free_port
from db.trial import PREFIX, destroy
from tests.conftest import SOURCE_ROLE
from tests.support import Flow, Server, wait_until


class Spare:
    """An instance of its own, as durable as an installed one, that a test may kill and start again."""

    def __init__(self, instance: Instance) -> None:
        """Start it."""
        self._instance = instance
        self._servers = machine.installed()
        self.start()
        self.server = Server.from_dsn(instance.dsn())

    @property
    def postmaster(self) -> int:
        """The process id of its postmaster."""
        return int((self._instance.data / "postmaster.pid").read_text().splitlines()[0])

    @property
    def name(self) -> str:
        """The name of the instance and of its first database, where pg_cron may live."""
        return self._instance.name

    def kill(self) -> None:
        """Kill its postmaster with signal 9; its other processes end by themselves when they notice."""
        os.kill(self.postmaster, signal.SIGKILL)
        wait_until(lambda: not self._instance.running_port(), what="the postmaster's end")

    def start(self) -> None:
        """Start it; after a kill, PostgreSQL recovers from its WAL first."""
        self._instance.start(self._servers)

    def stop(self) -> None:
        """Stop it as an administrator does."""
        self._instance.stop(self._servers)

    @property
    def home(self) -> Path:
        """The directory that it lives in, which its user may pass."""
        return self._instance.home.path

    def stop_in(self, data: Path) -> None:
        """Stop a server of the same version in another data directory, if one is there."""
        if (data / "postmaster.pid").exists():
            self._instance._run(
                self._instance.server(self._servers).bin / "pg_ctl", "stop", "--mode", "immediate", "-D", data
            )


@contextmanager
def spare(name: str) -> Iterator[Spare]:
    """Make an instance, operational or warehouse, and delete it at the end."""
    home = Home(Path(tempfile.mkdtemp(prefix=PREFIX)))
    home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    instance = Instance(name, home, free_port())
    with home.locked():
        try:
            yield Spare(instance)
        finally:
            destroy(home, [instance], machine.installed())
            shutil.rmtree(home.path, ignore_errors=True)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process without ending it: its peer gets neither an answer nor a reset, as from a network that was cut."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def silent() -> Iterator[int]:
    """Listen on a port and never say a word; yield the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def set_source(flow: Flow, **options: str) -> None:
    """Change libpq options of the source's server without trying the connection, as a fault would."""
    known = {
        name
        for (name,) in flow.warehouse.query(
            "select o.option_name from pg_catalog.pg_foreign_server as s,"
            " pg_catalog.pg_options_to_table(s.srvoptions) as o where s.srvname = 'op'"
        )
    }
    changes = ", ".join(f"{'set' if name in known else 'add'} {name} '{value}'" for name, value in options.items())
    flow.warehouse.execute(f"alter server op options ({changes})")


def source_backend(flow: Flow, state: str = "active") -> int:
    """Wait until a session of the source's role is in a state, and return its process id."""
    pid: int = wait_until(
        lambda: [
            pid
            for (pid,) in flow.operational.query(
                "select pid from pg_catalog.pg_stat_activity"
                " where usename = %s and datname = current_database() and state = %s",
                [SOURCE_ROLE, state],
            )
        ],
        what="the session at the source",
    )[0]
    return pid


def runs(flow: Flow) -> list[str]:
    """Return the statuses of the sample's runs, oldest first."""
    return [
        status
        for (status,) in flow.warehouse.query("select status from etl.run_log where pipeline = 'sales' order by run_id")
    ]


def errors(flow: Flow) -> list[tuple[str, str, str]]:
    """Return SQLSTATE, step and message of all that was logged, oldest first."""
    return [
        (sqlstate, step, message)
        for sqlstate, step, message in flow.warehouse.query(
            "select sqlstate, step, message from etl.procedure_errors order by error_id"
        )
    ]


def attempts(flow: Flow, step: str) -> list[tuple[int, str]]:
    """Return the attempts of a step in the newest run: number and status."""
    return [
        (attempt, status)
        for attempt, status in flow.warehouse.query(
            "select attempt, status from etl.step_log where step = %s"
            " and run_id = (select max(run_id) from etl.run_log) order by step_log_id",
            [step],
        )
    ]


def fails(flow: Flow, *, force: bool = False) -> str:
    """Run the sample, see it fail, and return the SQLSTATE."""
    try:
        flow.run(force=force)
    except psycopg.Error as error:
        assert re.fullmatch(r"[0-9A-Z]{5}", error.sqlstate or ""), error
        return error.sqlstate or ""
    raise AssertionError("the run succeeded")


def assert_clean(flow: Flow) -> None:
    """See that no run is left at work, no lock is held and no session at the source is left."""
    wh, op = flow.warehouse, flow.operational
    assert wh.query("select * from etl.run_log where status = 'running'") == []
    assert wh.query("select * from pg_catalog.pg_locks where locktype = 'advisory'") == []
    wait_until(
        lambda: (
            not op.query(
                "select from pg_catalog.pg_stat_activity where usename = %s and datname = current_database()",
                [SOURCE_ROLE],
            )
        ),
        what="the end of the sessions at the source",
    )


def assert_all_arrived(flow: Flow) -> None:
    """See that mirrors, facts, dimensions and aggregates are what the source says, and that nothing is left behind."""
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    assert_clean(flow)
