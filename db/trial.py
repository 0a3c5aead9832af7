"""Runs the tests on two instances made for them, which are gone afterwards whatever happens."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from db import machine
from db.home import Home
from db.instance import Instance, free_port
from db.problem import Problem

PREFIX = "headrace-test-"
PATIENCE = 20  # seconds that pytest has to end after it was asked to


class Stopped(BaseException):
    """A signal asked this program to end."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(number)
        self.exit_code = 128 + number


def stop(number: int, _frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that everything is cleaned up."""
    raise Stopped(number)


def destroy(home: Home, instances: Sequence[Instance], servers: Sequence[machine.Server]) -> None:
    """Stop the instances and delete their home."""
    for instance in instances:
        with contextlib.suppress(Problem):
            instance.stop(servers)
    shutil.rmtree(home.path, ignore_errors=True)


def sweep(servers: Sequence[machine.Server]) -> None:
    """Delete what test runs left that were killed hard: their homes are not locked any more."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        home = Home(path)
        with contextlib.suppress(Problem, OSError):
            if path.owner() == Path.home().owner() and (path / "lock").exists():
                with home.locked():
                    destroy(home, [Instance(name, home, 0, True) for name in ("operational", "warehouse")], servers)


@contextlib.contextmanager
def instances(servers: Sequence[machine.Server]) -> Iterator[tuple[Instance, Instance]]:
    """Start an operational and a warehouse instance in a home of their own, and take all of it away at the end."""
    home = Home(Path(tempfile.mkdtemp(prefix=PREFIX)))
    home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    pair = (
        Instance("operational", home, free_port(), throwaway=True),
        Instance("warehouse", home, free_port(), throwaway=True),
    )
    with home.locked():
        try:
            for instance in pair:
                instance.start(servers)
            yield pair
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            destroy(home, pair, servers)


def run(servers: Sequence[machine.Server], arguments: Sequence[str]) -> int:
    """Run pytest on instances made for it.

    Args:
        servers: the installed servers.
        arguments: what to pass on to pytest.

    Returns:
        pytest's exit code, or 128 and the signal's number.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    machine.forget_libpq_environment()
    try:
        sweep(servers)
        with instances(servers) as (operational, warehouse):
            programs = [Path(sys.executable).parent, warehouse.server(servers).bin]
            environment = {
                **os.environ,
                "HEADRACE_HOME": str(warehouse.home.path),
                "HEADRACE_TEST_OP": operational.dsn(),
                "HEADRACE_TEST_WH": warehouse.dsn(),
                "PATH": os.pathsep.join([*map(str, programs), os.environ.get("PATH", os.defpath)]),
            }
            pytest = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=machine.ROOT, env=environment)
            try:
                return pytest.wait()
            finally:
                end(pytest)
    except Stopped as stopped:
        return stopped.exit_code


def end(process: subprocess.Popen[bytes]) -> None:
    """End pytest, which a terminal's Ctrl-C may have told already, so that its fixtures clean up."""
    for patience, number in ((2, signal.SIGINT), (PATIENCE, signal.SIGKILL), (PATIENCE, signal.SIGKILL)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return
        process.send_signal(number)
