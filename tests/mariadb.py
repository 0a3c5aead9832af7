"""A MariaDB server for the tests of other sources: on loopback, with data of its own, as an unprivileged user."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db import machine
from db.instance import free_port
from tests.support import wait_until

ACCOUNT = "headrace_source"
PASSWORD = "it's a \\ secret"
SETTINGS = (
    "--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=2", "--skip-innodb-doublewrite", "--key-buffer-size=1M",
    "--character-set-server=utf8mb4", "--sql-mode=",
)  # fmt: skip


def missing() -> str | None:
    """Return what these tests lack on this machine, None if nothing."""
    programs = [name for name in ("mariadbd", "mariadb", "mariadb-install-db") if not shutil.which(name)]
    return ", ".join(programs) or None


class MariaDB:
    """A running server with an empty database, ``shop``, that one account may read."""

    def __init__(self, home: Path) -> None:
        """Make its data directory and start it."""
        self.home = home
        self.port = free_port()
        self._socket = home / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._words = ["--no-defaults", f"--datadir={home / 'data'}", f"--socket={self._socket}", f"--port={self.port}"]
        if user := machine.os_user():
            os.chown(home, user.pw_uid, user.pw_gid)
        made = self._begin(
            "mariadb-install-db", "--no-defaults", f"--datadir={home / 'data'}", "--skip-test-db",
            "--skip-name-resolve", "--auth-root-authentication-method=normal", *SETTINGS[2:4],
        )  # fmt: skip
        assert made.wait() == 0, (home / "log").read_text()
        self.start()
        self.execute("create database shop")
        self.execute(f"create user {ACCOUNT}@'127.0.0.1' identified by {quote(PASSWORD)}")
        self.execute(f"grant select on shop.* to {ACCOUNT}@'127.0.0.1'")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = self._begin("mariadbd", *self._words, *SETTINGS)
        wait_until(lambda: self._run("select 1").returncode == 0, what="MariaDB")

    def _begin(self, *words: str) -> subprocess.Popen[bytes]:
        user = machine.os_user()
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        with (self.home / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
                words, **identity, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home
            )
        return process

    def stop(self) -> None:
        """Kill it, as a machine that fails does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _run(self, statements: str, database: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self._socket}", "--user=root", "--batch", "--skip-column-names",
             "--default-character-set=utf8mb4", *([database] if database else [])],
            input=statements, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def execute(self, statements: str) -> list[list[str]]:
        """Execute statements as root, in ``shop`` if it is there; return the rows in text form."""
        done = self._run(statements, "" if "database" in statements or "user " in statements else "shop")
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]


def quote(text: str) -> str:
    """Return a string literal of MariaDB."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """Start a server, and take all of it away at the end."""
    home = Path(tempfile.mkdtemp(prefix="headrace-mariadb-"))
    home.chmod(0o755)
    server: MariaDB | None = None
    try:
        server = MariaDB(home)
        yield server
    finally:
        if server is not None:
            server.stop()
        with contextlib.suppress(OSError):
            shutil.rmtree(home)
