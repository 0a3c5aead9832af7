"""Runs the tests on instances made for them, which are gone afterwards whatever happens.

The whole suite is run by several workers at once (pytest-xdist). Each has a pair of instances of its own, since roles,
slots and pg_cron belong to a server.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from db import machine
from db.home import Home
from db.instance import Instance, free_port
from db.problem import Problem

PREFIX = "headrace-test-"
PATIENCE = 20  # seconds that pytest has to end after it was asked to
WORKERS = 3  # of a whole suite; most tests wait for a server or a clock, so more than there are cores
Pair = tuple[Instance, Instance]


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
def instances(servers: Sequence[machine.Server], pairs: int = 1) -> Iterator[list[Pair]]:
    """Start pairs of an operational and a warehouse instance, each in a home of its own, and take all of it away.

    Args:
        servers: the installed servers.
        pairs: how many.
    """
    made: list[Pair] = []
    with contextlib.ExitStack() as stack:
        for _ in range(pairs):
            home = Home(Path(tempfile.mkdtemp(prefix=PREFIX)))
            home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            stack.enter_context(home.locked())
            made.append(
                (
                    Instance("operational", home, free_port(), throwaway=True),
                    Instance("warehouse", home, free_port(), throwaway=True),
                )
            )
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda instance: instance.start(servers), [one for pair in made for one in pair]))
            yield made
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            for pair in made:
                destroy(pair[0].home, pair, servers)


def workers(arguments: Sequence[str]) -> int:
    """Return how many workers to run: several for the whole suite, one where tests are named or looked at."""
    named = any((machine.ROOT / word.partition("::")[0]).exists() for word in arguments if not word.startswith("-"))
    return 1 if named or {"--co", "--collect-only", "--pdb", "-x"}.intersection(arguments) else WORKERS


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
    count = workers(arguments)
    try:
        sweep(servers)
        with instances(servers, count) as pairs:
            programs = [Path(sys.executable).parent, pairs[0][1].server(servers).bin]
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
                "HEADRACE_HOME": str(pairs[0][0].home.path),
                "HEADRACE_TEST_SERVERS": json.dumps(
                    [{"home": str(wh.home.path), "operational": op.dsn(), "warehouse": wh.dsn()} for op, wh in pairs]
                ),
                "PATH": os.pathsep.join([*map(str, programs), os.environ.get("PATH", os.defpath)]),
            }
            parallel = ["-n", str(count), "--dist", "worksteal"] if count > 1 else []
            command = [sys.executable, "-m", "pytest", *parallel, *arguments]
            pytest = subprocess.Popen(command, cwd=machine.ROOT, env=environment)
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
