"""An embedded PostgreSQL instance: made, started, asked, stopped. Standard library alone."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from db import machine
from db.home import Home, write_private
from db.machine import Server
from db.problem import Problem

SETTINGS = Path(__file__).resolve().parent
FLAGS = {"operational": "--op-port", "warehouse": "--wh-port"}
ADMIN = "postgres"
SMALL_SHM = 512 * 1024 * 1024
ORPHANS_END = 15  # seconds that the processes of a killed server have to notice
BUFFERS = 256, 8192  # megabytes of the warehouse's buffers at least and at most; a quarter of the memory in between
WORKERS = 4  # processes at most that help with a query or an index; a machine's cores less the one that asks
# 127.0.0.1, and all addresses, as the kernel writes them
HERE = "0100007F", "00000000", "0" * 32, "0" * 16 + "FFFF00000100007F"
PORT_CLOSES = 5  # seconds that the kernel has to close a port whose process has ended
CLIENT_GONE = 65  # seconds: for 60 the kernel keeps the port of a client that left by itself (TIME_WAIT)


@dataclass(frozen=True)
class Instance:
    """One embedded instance with one database of the same name.

    Args:
        name: ``operational`` or ``warehouse``.
        home: where its directory is.
        port: the port on 127.0.0.1.
        throwaway: made by a test run and deleted after it.
    """

    name: str
    home: Home
    port: int
    throwaway: bool = False

    @property
    def directory(self) -> Path:
        """Its own directory: data, log, and nothing else."""
        return self.home.path / self.name

    @property
    def data(self) -> Path:
        """Its data directory, complete if it is there."""
        return self.directory / "data"

    @property
    def exists(self) -> bool:
        """Whether it has been made."""
        return (self.data / "PG_VERSION").exists()

    def dsn(self, user: str = ADMIN) -> str:
        """Return the URL of its database for a user whose password is kept in the home."""
        password = quote(self.home.password(f"{self.name}.{user}"), safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{self.name}"

    # ------------------------------------------------------------------------------------------------------------------
    # Making
    # ------------------------------------------------------------------------------------------------------------------
    def make(self, server: Server) -> None:
        """Make the data directory with its database, unless it is there.

        It is made beside its place and moved there when it is complete, so a killed attempt leaves nothing to mend.

        Raises:
            Problem: initdb failed, or the servers' user cannot reach the directory.
        """
        if self.exists:
            return
        self.home.check_room()
        self._make_directory()
        part = self.directory / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        password = self.directory / "password.part"
        write_private(password, self.home.password(f"{self.name}.{ADMIN}"))
        try:
            self._own(password)
            self._run(
                server.bin / "initdb", "--pgdata", part, "--username", ADMIN, "--pwfile", password,
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums",
                *(["--no-sync"] if self.throwaway else []),
            )  # fmt: skip
        finally:
            password.unlink(missing_ok=True)
        self._run(
            server.bin / "postgres", "--single", "-F", "-D", part, "postgres", said=f"create database {self.name}\n"
        )
        with (part / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'headrace.conf'\n")
        part.rename(self.data)

    def _make_directory(self) -> None:
        for directory in (self.directory, self.directory / "log"):
            directory.mkdir(mode=0o700, exist_ok=True)
            self._own(directory)
        try:
            self._run("test", "-w", self.directory, said="")
        except (Problem, OSError):
            raise Problem(
                f"the servers' user {machine.OS_USER} cannot enter {self.directory}",
                "Set HEADRACE_HOME to a directory below one that every user may pass, such as /var/lib/headrace.",
            ) from None

    def _own(self, path: Path) -> None:
        if user := machine.os_user():
            os.chown(path, user.pw_uid, user.pw_gid)

    def _run(self, *command: str | Path, said: str = "") -> str:
        """Run a program as the servers' user, from a directory it can be in, and return what it prints.

        Raises:
            Problem: it failed; with its first error line.
        """
        user = machine.os_user()
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        done = subprocess.run(
            command, **identity, cwd=self.directory, input=said, capture_output=True, text=True, check=False,
            umask=0o077, env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        )  # type: ignore[call-overload]  # fmt: skip
        if done.returncode:
            lines = [*done.stderr.splitlines(), *done.stdout.splitlines()]
            said_wrong = [line for line in lines if "error" in line.lower() or "FATAL" in line]
            raise Problem(
                f"{Path(command[0]).name} ({self.name} instance): {(said_wrong or lines or ['no message'])[0]}",
                self._way_out("\n".join(lines)),
            )
        return str(done.stdout)

    def _way_out(self, text: str) -> str:
        if "No space left" in text:
            return f"The disk of {self.home.path} is full: free some space, then try again."
        return f"The whole story is in {self.directory / 'log'}."

    # ------------------------------------------------------------------------------------------------------------------
    # Running
    # ------------------------------------------------------------------------------------------------------------------
    def running_port(self) -> int | None:
        """Return the port that it listens on, None while it does not run."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
            program = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
            return None
        except PermissionError:
            raise Problem(
                f"{self.directory} belongs to another user", "Run the command as that user, or set HEADRACE_HOME."
            ) from None
        return port if os.fsencode(self.data) in program else None

    def server(self, servers: Sequence[Server]) -> Server:
        """Return the installed server to run it with: the one that made its data, or the one to make it with.

        Raises:
            Problem: that version is no longer there.
        """
        if not self.exists:
            return machine.choose(servers)
        version = int((self.data / "PG_VERSION").read_text())
        for server in servers:
            if server.version == version:
                if "pg_cron" not in server.extensions:
                    machine.choose([server])
                return server
        raise Problem(
            f"{self.data} was made by PostgreSQL {version}, which is not installed any more",
            f"Install {' '.join(machine.packages(version))} again, or bring the data over with pg_upgrade.",
        )

    def start(self, servers: Sequence[Server]) -> None:
        """Make it if it is missing and start it if it does not run, or runs on another port.

        Raises:
            Problem: it cannot be started; says why and what to do.
        """
        if self.running_port() == self.port:
            return
        server = self.server(servers)
        self._bury()
        self._check_port()
        self.stop(servers)
        self.make(server)
        self._make_directory()
        self._write_settings()
        log = self.directory / "log" / "start.log"
        log.unlink(missing_ok=True)
        try:
            self._run(server.bin / "pg_ctl", "start", "--wait", "--timeout", "120", "-D", self.data, "--log", log)
        except Problem:
            text = self._last_words()
            fatal = [line for line in text.splitlines() if "FATAL" in line or "PANIC" in line]
            raise Problem(
                f"the {self.name} instance does not start: {(fatal or ['no message'])[-1].partition(': ')[2]}",
                self._way_out(text),
            ) from None

    def _bury(self) -> None:
        """Take away the pid file of a killed server whose pid another process, or its own zombie, holds now.

        The server itself would refuse to start. It may go only when none of its processes works on the data any more.
        Most end by themselves; pg_cron's launcher waits for ever for a job that was at work, so it is asked to end.
        The postmaster itself is among them while the kernel ends it: it has no command line then, but holds the port.
        """
        file = self.data / "postmaster.pid"
        began = time.monotonic()
        while file.exists() and not self.running_port():
            orphans = [
                int(process.name) for process in Path("/proc").glob("[0-9]*") if works_in(process, self.data.resolve())
            ]
            waited = time.monotonic() - began
            if not orphans:
                file.unlink()
            elif waited > ORPHANS_END:
                raise Problem(
                    f"processes of a killed server still work in {self.data}",
                    f"End the processes 'postgres: …' of the user {self.data.owner()}, then try again.",
                )
            else:
                if waited > ORPHANS_END / 5:
                    end(orphans)
                time.sleep(0.2)

    def _write_settings(self) -> None:
        kinds = ["", f".{self.name}", *([".throwaway"] if self.throwaway else [])]
        text = "\n".join((SETTINGS / f"instance{kind}.conf").read_text() for kind in kinds)
        text += f"\n# Of this machine\nport = {self.port}\ncron.database_name = '{self.name}'\n"
        if self.name == "warehouse" and not self.throwaway:
            memory = min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), container_memory()) // 2**20
            text += f"shared_buffers = {min(max(memory // 4, BUFFERS[0]), BUFFERS[1])}MB\n"
            helpers = max(1, min(len(os.sched_getaffinity(0)) - 1, WORKERS))
            text += f"max_parallel_workers_per_gather = {helpers}\nmax_parallel_maintenance_workers = {helpers}\n"
        if shutil.disk_usage("/dev/shm").total < SMALL_SHM:
            text += "dynamic_shared_memory_type = mmap  # /dev/shm is too small for parallel queries\n"
        file = self.data / "headrace.conf"
        write_private(file, text)
        self._own(file)

    def _last_words(self) -> str:
        files = sorted((self.directory / "log").glob("*.log"), key=lambda file: file.stat().st_mtime)
        return "".join(file.read_text(errors="replace")[-4000:] for file in files[-2:])

    def _check_port(self) -> None:
        """See that the port is free, or soon will be: the kernel closes it some time after the process that had it.

        Raises:
            Problem: somebody has it; says who.
        """
        began = time.monotonic()
        while is_taken(self.port):
            process, user = holder(self.port)
            if process or time.monotonic() - began > (PORT_CLOSES if user else CLIENT_GONE):
                raise Problem(
                    f"port {self.port} of the {self.name} instance is taken by {process or 'a process'}{user}",
                    f"Stop that, or choose another port with {FLAGS[self.name]}.",
                )
            time.sleep(0.1)

    def stop(self, servers: Sequence[Server]) -> bool:
        """Stop it, rolling back what is open, and say whether it ran.

        Raises:
            Problem: it does not stop.
        """
        if not self.running_port():
            return False
        mode = "immediate" if self.throwaway else "fast"
        program = self.server(servers).bin / "pg_ctl"
        self._run(program, "stop", "--wait", "--timeout", "120", "--mode", mode, "-D", self.data)
        return True


def end(processes: Sequence[int]) -> None:
    """Ask processes to end."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGTERM)


def works_in(process: Path, directory: Path) -> bool:
    """Say whether a process, given by its directory in /proc, has a directory as its own."""
    with contextlib.suppress(OSError):
        return (process / "cwd").readlink() == directory
    return False


def is_taken(port: int) -> bool:
    """Say whether nobody can listen on a port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def holder(port: int) -> tuple[str, str]:
    """Say which process has a port of this machine, and whose it is; empty where nobody has, or none that is seen."""
    sockets, whose = set(), ""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            columns = line.split()
            address, _, number = columns[1].rpartition(":")
            if columns[9] != "0" and int(number, 16) == port and address in HERE:  # 0: nobody's any more
                sockets.add(f"socket:[{columns[9]}]")
                with contextlib.suppress(KeyError):
                    whose = f" of the user {pwd.getpwuid(int(columns[7])).pw_name}"
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) in sockets for file in (process / "fd").iterdir()):
                return f"process {process.name} ({(process / 'comm').read_text().strip()})", whose
    return "", whose


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def container_memory(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Return the bytes that a container may take, since the machine's memory is not its own; very many elsewhere."""
    said = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    return int(said) if said.isdigit() else sys.maxsize
