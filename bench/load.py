"""The load proof: pgbench writes all the time, runs follow, readers of dwh ask all the time, and all of it must agree.

By itself, on two durable instances that are made for it, in the environment of ``python3 bootstrap.py``:

    $HEADRACE_HOME/venv/bin/python -m bench.load --seconds 180
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from bench import servers
from db import deploy, machine, psql, trial
from db.problem import Problem

PIPELINE = "pgbench"
TABLES = {
    "pgbench_accounts": "aid, bid, abalance, filler",
    "pgbench_tellers": "tid, bid, tbalance, filler",
    "pgbench_branches": "bid, bbalance, filler",
    "pgbench_history": "tid, bid, aid, delta, mtime, filler",
}
SUMS = """
select (select coalesce(sum(balance), 0)::bigint from dwh.dim_account where is_current),
       (select coalesce(sum(balance), 0)::bigint from dwh.dim_teller where is_current),
       (select coalesce(sum(balance), 0)::bigint from dwh.dim_branch where is_current),
       (select coalesce(sum(delta), 0)::bigint from dwh.fact_move)
"""
LOOK = "select balance from dwh.dim_account where is_current and account_id = 1 and source = 'op'"
# One transaction in ten takes an earlier one back: rows without a key go, and the books stay right.
VOID = """
create function public.void(account integer) returns void language plpgsql as $$
declare
  v_gone public.pgbench_history;
begin
  update public.pgbench_accounts set abalance = abalance where aid = account;
  delete from public.pgbench_history h
  where h.ctid = (select x.ctid from public.pgbench_history x where x.aid = account limit 1) returning h.* into v_gone;
  if found then
    update public.pgbench_accounts set abalance = abalance - v_gone.delta where aid = v_gone.aid;
    update public.pgbench_tellers set tbalance = tbalance - v_gone.delta where tid = v_gone.tid;
    update public.pgbench_branches set bbalance = bbalance - v_gone.delta where bid = v_gone.bid;
  end if;
end $$;
create index on public.pgbench_history (aid);
"""
VOID_SCRIPT = "\\set aid random(1, 100000 * :scale)\nselect public.void(:aid);\n"


@dataclass
class Figures:
    """What a load proof found; the lists are empty where all went well.

    Args:
        seconds: how long was written.
        transactions: of pgbench.
        batches: that were published meanwhile, and changes in them.
        reads: statements of readers that summed up all of dwh, and of those that looked one row up.
        longest_read: the longest of the first, in seconds.
        longest_look: the longest of the second, in seconds: what a reader may have to wait.
        waits: how often a reader was seen to wait for a lock.
        memory_mb: the most memory of its own that one process of the source and of the warehouse held.
        behind: seconds that it took to publish the rest once nobody wrote any more.
        wrong: answers of dwh whose sums do not agree.
        errors: of pgbench, of runs and of readers.
        differences: between source, mirrors and dwh at the end.
    """

    seconds: float = 0.0
    transactions: int = 0
    batches: int = 0
    changes: int = 0
    sums: int = 0
    looks: int = 0
    longest_read: float = 0.0
    longest_look: float = 0.0
    waits: int = 0
    memory_mb: dict[str, float] = field(default_factory=dict)
    behind: float = 0.0
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.wrong or self.errors or self.differences or self.waits)


@dataclass(frozen=True)
class Places:
    """URLs: of both databases' administrators, and of the warehouse's reader and runner; and where pgbench is."""

    source: str
    warehouse: str
    reader: str
    runner: str
    pgbench: Path


# ----------------------------------------------------------------------------------------------------------------------
# Before
# ----------------------------------------------------------------------------------------------------------------------
def pgbench(places: Places, *arguments: str) -> subprocess.Popen[str]:
    """Start pgbench on the source."""
    parts = urlsplit(places.source)
    environment = {
        "PGHOST": str(parts.hostname), "PGPORT": str(parts.port), "PGUSER": str(parts.username),
        "PGPASSWORD": unquote(parts.password or ""), "PGDATABASE": parts.path.lstrip("/"),
    }  # fmt: skip
    return subprocess.Popen(
        [places.pgbench, *arguments], env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def prepare(places: Places, password: str, scale: int) -> None:
    """Fill the source, register its tables in a deployed warehouse, and copy them.

    Args:
        places: where.
        password: of ``headrace_source``, which is made where it is missing.
        scale: of pgbench: 100 000 accounts each.
    """
    filling = pgbench(places, "--initialize", "--quiet", "--scale", str(scale))
    said = filling.communicate()[1]
    if filling.returncode:
        raise Problem(f"pgbench could not fill the source: {said.strip()}", "")
    with psycopg.connect(places.warehouse, autocommit=True) as warehouse:
        with psycopg.connect(places.source, autocommit=True) as source:
            source.execute(VOID)
        ((publication,),) = warehouse.execute("select etl.slot_name(%s)", [PIPELINE]).fetchall()
        psql.run(
            places.source, "-v", f"publication={publication}", "-v", f"tables={','.join(TABLES)}",
            "-f", str(deploy.SOURCE_SCRIPT), HEADRACE_SOURCE_PASSWORD=password,
        )  # fmt: skip
        if not warehouse.execute("select from etl.source where source = 'op'").fetchall():
            place = urlsplit(places.source)
            options = {"host": place.hostname, "port": str(place.port), "dbname": place.path.lstrip("/")}
            warehouse.execute(
                "call etl.add_source('op', %s::jsonb, %s, %s)", [json.dumps(options), deploy.SOURCE_ROLE, password]
            )
        for table in TABLES:
            warehouse.execute(
                "call etl.add_table('op', %s, pipeline => %s, capture => 'log')", [f"public.{table}", PIPELINE]
            )
        warehouse.execute((Path(__file__).parent / "load.sql").read_text(encoding="utf-8"))
        warehouse.execute(sql.SQL("call etl.run({})").format(PIPELINE))


# ----------------------------------------------------------------------------------------------------------------------
# Meanwhile
# ----------------------------------------------------------------------------------------------------------------------
class Bystanders:
    """Whoever is at work while pgbench writes: runs, readers, and one who watches them."""

    def __init__(self, places: Places, readers: int) -> None:
        """Start them."""
        self.figures = Figures()
        self._places = places
        self._ended = threading.Event()
        self._guard = threading.Lock()
        works = [self._run, self._watch, *[self._sum_up, self._look_up] * readers]
        self._threads = [threading.Thread(target=self._work, args=(work,), daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def end(self) -> Figures:
        """Let them finish what they are at, and return what they found."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self.figures

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except psycopg.Error as error:
            with self._guard:
                self.figures.errors.append(f"{work.__name__.strip('_')}: {error}")

    def _run(self) -> None:
        with psycopg.connect(self._places.runner, autocommit=True) as runner:
            while not self._ended.is_set():
                runner.execute(sql.SQL("call etl.run({})").format(PIPELINE))

    def _read(self, question: str) -> Iterator[tuple[float, tuple[object, ...]]]:
        with psycopg.connect(self._places.reader, autocommit=True) as reader:
            while not self._ended.is_set():
                began = time.monotonic()
                ((*row,),) = reader.execute(question).fetchall()
                yield time.monotonic() - began, tuple(row)

    def _sum_up(self) -> None:
        for took, row in self._read(SUMS):
            with self._guard:
                self.figures.sums += 1
                self.figures.longest_read = max(self.figures.longest_read, took)
                if len(set(row)) > 1:
                    self.figures.wrong.append(f"accounts, tellers, branches, moves: {row}")

    def _look_up(self) -> None:
        for took, _row in self._read(LOOK):
            with self._guard:
                self.figures.looks += 1
                self.figures.longest_look = max(self.figures.longest_look, took)
            self._ended.wait(0.01)

    def _watch(self) -> None:
        with psycopg.connect(self._places.source) as source, psycopg.connect(self._places.warehouse) as warehouse:
            for connection in (source, warehouse):
                connection.autocommit = True
            while not self._ended.wait(0.1):
                for name, connection in (("source", source), ("warehouse", warehouse)):
                    pids = connection.execute(
                        "select pid from pg_stat_activity where pid <> pg_backend_pid()"
                    ).fetchall()
                    most = max(own_memory_mb(pid) for (pid,) in pids)
                    self.figures.memory_mb[name] = max(most, self.figures.memory_mb.get(name, 0.0))
                waits = warehouse.execute(
                    "select from pg_stat_activity where usename = %s and wait_event_type = 'Lock'"
                    " and datname = current_database()", [deploy.READER],
                ).fetchall()  # fmt: skip
                self.figures.waits += len(waits)


def own_memory_mb(pid: int) -> float:
    """Return the memory of its own that a process of this machine holds, shared buffers left out."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return 0.0


def drive(places: Places, seconds: int, writers: int, readers: int) -> Figures:
    """Write, run and read at the same time; then publish the rest and compare everything.

    Args:
        places: where ``prepare`` has been.
        seconds: how long to write.
        writers: sessions of pgbench.
        readers: pairs of sessions that read dwh: one sums all up, one looks one row up.
    """
    counts = (
        "select count(*), coalesce(sum(rows_changed), 0)::bigint from etl.batch"
        " where pipeline = %s and published_at is not null and rows_changed > 0"
    )
    with psycopg.connect(places.warehouse, autocommit=True) as warehouse, tempfile.NamedTemporaryFile("w") as script:
        script.write(VOID_SCRIPT)
        script.flush()
        (before,) = warehouse.execute(counts, [PIPELINE]).fetchall()
        bystanders = Bystanders(places, readers)
        began = time.monotonic()
        writing = pgbench(
            places, "--no-vacuum", "--client", str(writers), "--jobs", "2", "--time", str(seconds),
            "--builtin", "tpcb-like@9", "--file", f"{script.name}@1", "--max-tries", "10",
        )  # fmt: skip
        said, complaints = writing.communicate()
        elapsed = time.monotonic() - began
        (after,) = warehouse.execute(counts, [PIPELINE]).fetchall()
        figures = bystanders.end()
        figures.seconds = round(elapsed, 1)
        figures.batches, figures.changes = (end - start for end, start in zip(after, before, strict=True))
        if writing.returncode or (failed := counted(said, "number of failed transactions")):
            figures.errors.append(f"pgbench: {complaints.strip() or failed}")
        figures.transactions = counted(said, "number of transactions actually processed")
        began = time.monotonic()
        warehouse.execute(sql.SQL("call etl.run({})").format(PIPELINE))
        figures.behind = round(time.monotonic() - began, 1)
        figures.errors += [
            f"run {run_id}: {status}: {message}"
            for run_id, status, message in warehouse.execute(
                "select run_id, status, message from etl.run_log where pipeline = %s and status <> 'succeeded'"
                " union all select run_id, sqlstate, message from etl.procedure_errors where pipeline = %s",
                [PIPELINE, PIPELINE],
            )
        ]
        figures.differences = list(compare(warehouse))
    return figures


def counted(text: str, label: str) -> int:
    """Return a figure of pgbench's report; 0 where it is not in it."""
    return next((int(line.split(": ")[1].split()[0]) for line in text.splitlines() if line.startswith(label)), 0)


# ----------------------------------------------------------------------------------------------------------------------
# Afterwards
# ----------------------------------------------------------------------------------------------------------------------
def compare(warehouse: psycopg.Connection) -> Iterator[str]:
    """Compare the mirrors with the source by EXCEPT ALL both ways, and dwh with the mirrors; yield what differs."""
    sides = [
        (f"op.{table} and mrr.{table}", f"select {columns} from op.{table}", f"select {columns} from mrr.{table}")
        for table, columns in TABLES.items()
    ]
    sides += [
        (
            f"mrr.pgbench_{plural} and dwh.dim_{one}",
            f"select {key}, {balance} from mrr.pgbench_{plural}",
            f"select {one}_id, balance from dwh.dim_{one} where is_current",
        )
        for one, plural, key, balance in (
            ("account", "accounts", "aid", "abalance"),
            ("teller", "tellers", "tid", "tbalance"),
            ("branch", "branches", "bid", "bbalance"),
        )
    ]
    sides.append(
        (
            "mrr.pgbench_history and dwh.fact_move",
            "select tid, bid, aid, delta, mtime from mrr.pgbench_history",
            "select teller_id, branch_id, account_id, delta, moved_at from dwh.fact_move",
        )
    )
    with warehouse.transaction():
        warehouse.execute("set local role headrace_owner")
        for names, left, right in sides:
            for one, other, where in ((left, right, "first"), (right, left, "second")):
                ((count,),) = warehouse.execute(f"select count(*) from ({one} except all {other}) d").fetchall()
                if count:
                    yield f"{names}: {count} rows in the {where} alone"


# ----------------------------------------------------------------------------------------------------------------------
# By itself
# ----------------------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def made() -> Iterator[tuple[Places, str]]:
    """Make two durable instances and deploy; yield where they are and the source's password, and delete them."""
    with servers.pair(Path("/var/tmp"), machine.installed()) as pair:
        warehouse = pair.warehouse
        deploy.deploy(warehouse.dsn())
        with psycopg.connect(warehouse.dsn(), autocommit=True) as admin:
            admin.execute("select cron.unschedule(jobid) from cron.job")
            for role in (deploy.READER, "headrace_runner"):
                admin.execute(
                    sql.SQL("alter role {} login password {}").format(
                        sql.Identifier(role), pair.home.password(f"warehouse.{role}")
                    )
                )
        yield (
            Places(
                pair.operational.dsn(), warehouse.dsn(), warehouse.dsn(deploy.READER), warehouse.dsn("headrace_runner"),
                pair.server.bin / "pgbench",
            ),
            secrets.token_urlsafe(12),
        )  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Run the proof and print its figures; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(prog="bench.load", description="Write, run and read all at once, and compare.")
    parser.add_argument("--seconds", type=int, default=180, help="how long to write (180)")
    parser.add_argument("--writers", type=int, default=8, help="sessions of pgbench (8)")
    parser.add_argument("--readers", type=int, default=2, help="pairs of readers of dwh (2)")
    parser.add_argument("--scale", type=int, default=4, help="of pgbench: 100 000 accounts each (4)")
    parser.add_argument("--json", action="store_true", help="for a program")
    arguments = parser.parse_args(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, trial.stop)
    machine.forget_libpq_environment()
    with made() as (places, password):
        prepare(places, password, arguments.scale)
        figures = drive(places, arguments.seconds, arguments.writers, arguments.readers)
    if arguments.json:
        print(json.dumps(asdict(figures)))
    else:
        for name, value in asdict(figures).items():
            print(f"{name.replace('_', ' '):<14} {value if value != [] else 'none'}")
    return 0 if figures.is_sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
