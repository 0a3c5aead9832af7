"""The machine that is measured on: what it is, how busy others keep it, and what a measurement costs in processes."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psycopg

from db import machine
from db.instance import Instance

TICKS = os.sysconf("SC_CLK_TCK")
QUIET = 0.10  # share of the machine's CPU that others may take while something is measured
LOOK = 2.0  # seconds of a look at how quiet the machine is
EVERY = 0.05  # seconds between two looks at the backends' memory
SOURCE_EVERY = 0.25  # seconds between two questions to the source
SNAPSHOTS = """
select coalesce(max(extract(epoch from clock_timestamp() - a.xact_start))
                filter (where a.backend_xmin is not null and a.pid <> pg_backend_pid()), 0)::float8,
       (select coalesce(max(pg_current_wal_lsn() - s.restart_lsn), 0) from pg_replication_slots s
        where s.database = current_database())::float8
from pg_stat_activity a
where a.datname = current_database() and a.backend_type in ('client backend', 'walsender') and a.pid <> pg_backend_pid()
"""


def describe(server: machine.Server) -> dict[str, str]:
    """Return what names the machine and its PostgreSQL."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    release = next(
        (
            line.partition("=")[2].strip('"')
            for line in read("/etc/os-release").splitlines()
            if line.startswith("PRETTY_NAME")
        ),
        platform.system(),
    )
    return {
        "CPU": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{release}, Linux {platform.release()}",
        "PostgreSQL": machine.ask(server.bin / "postgres", "--version").partition(") ")[2],
    }


def read(path: str | Path) -> str:
    """Return a file of /proc or /etc, empty where it is gone."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def busy_seconds() -> float:
    """Return the seconds of CPU that anybody took on this machine, the hypervisor's thefts included."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, read("/proc/stat").split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def process_seconds(process: int, with_ended: bool = True) -> float:
    """Return the seconds of CPU of a process, with those of its children that have ended."""
    fields = read(f"/proc/{process}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_ended else 13])) / TICKS if fields else 0.0


def children(process: int) -> list[int]:
    """Return the children of a process."""
    return [int(child) for child in read(f"/proc/{process}/task/{process}/children").split()]


def tree_seconds(postmaster: int) -> float:
    """Return the seconds of CPU of a server: its postmaster, its processes, and those that have ended."""
    return process_seconds(postmaster) + sum(process_seconds(child) for child in children(postmaster))


def own_seconds() -> float:
    """Return the seconds of CPU of this program and of the programs it ran."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def others_share(seconds: float = LOOK) -> float:
    """Return the share of the machine that others take, watched for a moment in which this program does nothing."""
    before, began = busy_seconds(), time.monotonic()
    time.sleep(seconds)
    return (busy_seconds() - before) / (time.monotonic() - began) / (os.cpu_count() or 1)


def postmaster(instance: Instance) -> int:
    """Return the process id of a running instance."""
    return int(read(instance.data / "postmaster.pid").split()[0])


def anonymous_kb(process: int) -> int:
    """Return the memory of its own that a process holds: resident, and neither shared nor a file's."""
    for line in read(f"/proc/{process}/status").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


@dataclass
class Cost:
    """What a measurement took.

    Args:
        seconds: by the clock.
        others: share of the machine's CPU that others took meanwhile.
        source_cpu: seconds of CPU of the operational instance, all of its processes.
        warehouse_cpu: those of the warehouse instance.
        memory_kb: the most memory of its own that one process of an instance held at once.
        snapshot: the longest that a snapshot was seen held at the source, in seconds.
        wal: the most write-ahead log in bytes that slots at the source kept.
    """

    seconds: float = 0.0
    others: float = 0.0
    source_cpu: float = 0.0
    warehouse_cpu: float = 0.0
    memory_kb: dict[str, int] = field(default_factory=dict)
    snapshot: float = 0.0
    wal: float = 0.0


class Meter:
    """Measures what happens inside its ``with`` block; the result is in ``cost``.

    Args:
        pair: the operational and the warehouse instance.
        source: URL of the source database's administrator; None looks at no memory, snapshots or log, for what is so
            short that looking would be felt.
    """

    def __init__(self, pair: Sequence[Instance], source: str | None = None) -> None:
        """Keep what to look at."""
        self.cost = Cost()
        self._names = {postmaster(instance): instance.name for instance in pair}
        self._source = source
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before: list[float] = []
        self._began = 0.0

    def _counters(self) -> list[float]:
        trees = [tree_seconds(process) for process in self._names]
        return [busy_seconds(), own_seconds() + sum(trees), *trees]

    def _watch(self) -> None:
        asked = 0.0
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self._source or "", autocommit=True) as source,
        ):
            while not self._done.wait(EVERY):
                self._look(self._names)
                if time.monotonic() - asked >= SOURCE_EVERY:
                    asked = time.monotonic()
                    snapshot, wal = source.execute(SNAPSHOTS).fetchone() or (0.0, 0.0)
                    self.cost.snapshot = max(self.cost.snapshot, snapshot)
                    self.cost.wal = max(self.cost.wal, wal)

    def _look(self, postmasters: Iterable[int]) -> None:
        for process in postmasters:
            most = max((anonymous_kb(child) for child in children(process)), default=0)
            name = self._names[process]
            self.cost.memory_kb[name] = max(self.cost.memory_kb.get(name, 0), most)

    def __enter__(self) -> Meter:
        """Start the clock."""
        if self._source:
            self._thread.start()
        self._before = self._counters()
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it and work out what it took."""
        self.cost.seconds = time.monotonic() - self._began
        busy, own, source, warehouse = (
            after - before for before, after in zip(self._before, self._counters(), strict=True)
        )
        if self._source:
            self._done.set()
            self._thread.join()
        self.cost.source_cpu, self.cost.warehouse_cpu = source, warehouse
        capacity = max(self.cost.seconds, 1 / TICKS) * (os.cpu_count() or 1)
        self.cost.others = max(0.0, busy - own) / capacity
