"""Headrace, the floor and the peers: how each is prepared, and what is timed.

A contestant has a database of its own in the warehouse instance. ``prepare`` is not timed; ``load`` is, and says
how long each of its parts took.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from bench import servers
from bench.check import Result
from bench.servers import Pair
from db import deploy, machine, psql
from db.problem import Problem

HERE = Path(__file__).resolve().parent
TABLES = ("customers", "products", "sales")
QUIETLY = {  # no peer calls home or asks for a newer version of itself
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "INGESTR_DISABLE_TELEMETRY": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "EXTRACT__WORKERS": "3",
}
WORK_MEM = "32MB"  # of the floor and of the peers, which are faster with it than with what Headrace needs
ENDLESS = 1800.0  # seconds after which a peer's program is taken to hang
LOOK = 0.02  # seconds between two looks of a reader
Parts = dict[str, float]


@functools.cache
def psql_words(dsn: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return how psql is started on a database; found once, since looking for it takes time."""
    words, environment = psql.command(dsn, "-XqAt", "-v", "ON_ERROR_STOP=1")
    return tuple(words), environment


def call(dsn: str, statement: str) -> None:
    """Let psql execute a statement.

    Raises:
        Problem: it failed.
    """
    words, environment = psql_words(dsn)
    run([*words, "-c", statement], environment, most=None)


def execute(dsn: str, statement: str) -> None:
    """Execute statements, each committed by itself."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def together(*work: Callable[[], object]) -> None:
    """Do several things at once; the first error is raised at once, and is what the others soon meet too."""
    pool = ThreadPoolExecutor(len(work))
    try:
        for one in [pool.submit(each) for each in work]:
            one.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def run(
    words: Sequence[str | Path], variables: Mapping[str, str] | None = None, directory: Path | None = None, *,
    most: float | None = ENDLESS,
) -> None:  # fmt: skip
    """Run a program, of a peer for so many seconds at most.

    Raises:
        Problem: it failed, with its last words, or did not end.
    """
    process = subprocess.Popen(
        list(map(str, words)), env={**os.environ, **QUIETLY, **(variables or {})}, cwd=directory,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=most)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise Problem(f"{Path(words[0]).name} had not ended after {most:g} s") from error
        raise
    if process.returncode:
        lines = [line for line in said.splitlines() if line.strip()]
        raise Problem(f"{Path(words[0]).name} failed: {' / '.join(lines[-3:]) or 'without a word'}")


class Timer:
    """Notes how long each part took."""

    def __init__(self) -> None:
        """Start the clock."""
        self.parts: Parts = {}
        self._last = time.monotonic()

    def note(self, part: str) -> None:
        """End a part."""
        now = time.monotonic()
        self.parts[part] = now - self._last
        self._last = now


class Watch:
    """Looks, as a reader would, when something comes true meanwhile.

    Args:
        dsn: URL of the database.
        query: says whether it is true.
    """

    def __init__(self, dsn: str, query: str) -> None:
        """Keep what to look for."""
        self.seconds: float | None = None
        self._dsn, self._query = dsn, query
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: psycopg.Error | None = None

    def __enter__(self) -> Watch:
        """Begin to look, unless it is true already."""
        began = time.monotonic()

        def look() -> None:
            try:
                with psycopg.connect(self._dsn, autocommit=True) as reader:
                    is_last = False
                    while self.seconds is None and not is_last:
                        is_last = self._stop.wait(LOOK)
                        if reader.execute(self._query.encode()).fetchone() == (True,):
                            self.seconds = time.monotonic() - began
            except psycopg.Error as error:
                self._error = error

        with psycopg.connect(self._dsn, autocommit=True) as reader:
            if reader.execute(self._query.encode()).fetchone() == (False,):
                self._thread = threading.Thread(target=look, daemon=True)
        if self._thread:
            began = time.monotonic()
            self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        """Look no more.

        Raises:
            psycopg.Error: the reader could not look.
        """
        self._stop.set()
        if self._thread:
            self._thread.join()
        if self._error:
            raise self._error


class Contestant(ABC):
    """One way from the source's tables to the result.

    Args:
        pair: the instances.
        source: URL of the source's administrator.
        database: name of its database in the warehouse instance.
    """

    name = ""
    title = ""
    is_peer = False
    loads_anew = False  # whatever was loaded before
    has_star = True

    def __init__(self, pair: Pair, source: str, database: str) -> None:
        """Keep where it works."""
        self.pair = pair
        self.source = source
        self.dsn = pair.target(database)
        for dsn in (self.source, self.dsn):
            psql_words(dsn)

    @abstractmethod
    def prepare(self) -> None:
        """Make its database, empty; not timed."""

    @abstractmethod
    def load(self) -> Parts:
        """Bring the source's rows to the result, from nothing or from what an earlier load left."""

    def result(self) -> Result:
        """Return where its result is."""
        return Result(self.dsn, star="star" if self.has_star else None)

    def remove(self) -> None:
        """Drop its database, and what it left at the source."""
        self.pair.drop(self.dsn)


class Headrace(Contestant):
    """Headrace, deployed as ``bootstrap.py up`` does it; timed is ``call etl.run('sales')`` in psql."""

    name = "headrace"
    title = "Headrace, log"
    capture = "log"

    def prepare(self) -> None:
        """Deploy a warehouse and register the tables."""
        self.remove()
        self.pair.create(self.dsn)
        self.deploy()
        reader = deploy.make_source_role(self.pair.home, self.source)
        deploy.register(self.dsn, reader, self.source if self.capture == "log" else None)

    def deploy(self) -> None:
        """Deploy, and take away the jobs: a run that pg_cron starts is none that is measured."""
        deploy.deploy(self.dsn)
        with psycopg.connect(self.pair.warehouse.dsn(), autocommit=True) as connection:
            if connection.execute("select to_regclass('cron.job') is not null").fetchone() == (True,):
                connection.execute("select cron.unschedule(jobid) from cron.job where database <> current_database()")

    def load(self) -> Parts:
        """Run the pipeline. A first load is ``published`` when a reader sees it, before the run is at its end.

        Raises:
            Problem: the run did not succeed.
        """
        timer = Timer()
        with Watch(self.dsn, "select exists (select from dwh.fact_sales)") as watch:
            call(self.dsn, "call etl.run('sales')")
        timer.note("run")
        if watch.seconds is not None:
            timer.parts["published"] = min(watch.seconds, timer.parts["run"])
        with psycopg.connect(self.dsn) as connection:
            last = connection.execute("select r.status from etl.run_log r order by r.run_id desc limit 1").fetchone()
            if last != ("succeeded",):
                raise Problem(f"the run ended as {last}")
            found = connection.execute(
                "select s.phase, sum(extract(epoch from s.finished_at - s.started_at))::float8 from etl.step_log s"
                " where s.run_id = (select max(r.run_id) from etl.run_log r) group by 1"
            ).fetchall()
        return timer.parts | dict(found)

    def result(self) -> Result:
        """Return where its result is."""
        return Result(self.dsn, raw="mrr", star="dwh", keeps_history=True)

    def remove(self) -> None:
        """Drop its warehouse and its slot."""
        with psycopg.connect(self.pair.target("postgres"), autocommit=True) as connection:
            name = urlsplit(self.dsn).path.lstrip("/")
            found = connection.execute("select from pg_database where datname = %s", [name]).fetchone()
        if found is not None:  # a row without columns is false
            slots: list[tuple[str]] = []
            with psycopg.connect(self.dsn) as connection:
                if connection.execute("select to_regclass('etl.slot') is not null").fetchone() == (True,):
                    slots = connection.execute("select etl.slot_name(s.pipeline) from etl.slot s").fetchall()
            for (slot,) in slots:
                self.pair.drop_slots(slot.replace("_", r"\_"))
                execute(self.source, f'drop publication if exists "{slot}"')
        super().remove()


class HeadraceFull(Headrace):
    """Headrace where nothing but SELECT is allowed at the source."""

    name = "headrace-full"
    title = "Headrace, full"
    capture = "full"


class Copy(Contestant):
    """Binary COPY through a pipe, one stream per table; the tables are made with it."""

    persistence = ""

    def prepare(self) -> None:
        """Make the database."""
        self.pair.create(self.dsn, WORK_MEM)

    def copy(self) -> None:
        """Copy the three tables at once, into new ones."""
        execute(self.dsn, "drop schema if exists raw cascade; drop schema if exists star cascade")
        tables = servers.text("floor_tables").replace(":persistence", self.persistence)
        execute(self.dsn, tables)
        together(*(lambda table=table: self._pipe(table) for table in TABLES))

    def _pipe(self, table: str) -> None:
        reading, reads = psql_words(self.source)
        writing, writes = psql_words(self.dsn)
        sending = [*reading, "-c", f"copy public.{table} to stdout (format binary)"]
        taking = [*writing, "-c", f"copy raw.{table} from stdin (format binary)"]
        with subprocess.Popen(sending, env=reads, stdout=subprocess.PIPE) as reader:
            done = subprocess.run(taking, env=writes, stdin=reader.stdout, capture_output=True, text=True, check=False)
        if reader.returncode or done.returncode:
            raise Problem(f"COPY of {table} failed: {done.stderr.strip()}")


class Floor(Copy):
    """What PostgreSQL can do at best when nothing is promised: COPY, then CREATE TABLE AS."""

    name = "floor"
    title = "Floor, durable"

    def load(self) -> Parts:
        """Copy, then make the star."""
        timer = Timer()
        self.copy()
        timer.note("load")
        execute_each(self.dsn, servers.text("floor_star").replace(":persistence", self.persistence))
        timer.note("transform")
        return timer.parts


class FloorUnlogged(Floor):
    """The same into unlogged tables, which a crash empties."""

    name = "floor-unlogged"
    title = "Floor, unlogged"
    persistence = "unlogged"


def execute_each(dsn: str, script: str) -> None:
    """Execute a script statement by statement in one session."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())


# ---------------------------------------------------------------------------------------------------------------------
# Peers
# ---------------------------------------------------------------------------------------------------------------------
class Peer(Contestant):
    """A program in a virtual environment of its own, by and large followed by dbt."""

    is_peer = True

    def prepare(self) -> None:
        """Make the database; have the programs in the machine's memory, so that none pays for the disk."""
        self.pair.create(self.dsn, WORK_MEM)
        for program in self.programs():
            run([program, "--version"])

    @property
    def directory(self) -> Path:
        """Where the virtual environments are: beside the instances."""
        return self.pair.home.path.parent

    def programs(self) -> list[Path]:
        """Return the programs that it starts."""
        return [self.dbt] if self.has_star else []

    @property
    def dbt(self) -> Path:
        """The program dbt."""
        return self.directory / "venv-dbt/bin/dbt"

    def transform(self, **variables: object) -> None:
        """Let dbt build the star."""
        parts = urlsplit(self.dsn)
        told = {
            "BENCH_PORT": str(parts.port),
            "BENCH_USER": unquote(parts.username or ""),
            "BENCH_PASSWORD": unquote(parts.password or ""),
            "BENCH_DATABASE": parts.path.lstrip("/"),
        }
        scratch = self.pair.home.path / f"dbt-{self.name}"
        given = "{" + ", ".join(f"{name}: {value}" for name, value in variables.items()) + "}"
        run(
            [self.dbt, "run", "--quiet", "--project-dir", HERE / "dbt", "--profiles-dir", HERE / "dbt",
             "--target-path", scratch, "--log-path", scratch, "--vars", given],
            told,
        )  # fmt: skip

    @abstractmethod
    def bring(self) -> None:
        """Bring the source's tables into the warehouse."""

    def load(self) -> Parts:
        """Bring the tables over, then transform them."""
        timer = Timer()
        self.bring()
        timer.note("load")
        if self.has_star:
            self.transform()
            timer.note("transform")
        return timer.parts


class CopyDbt(Peer, Copy):
    """Plain COPY, then dbt."""

    name = "copy-dbt"
    loads_anew = True
    title = "COPY + dbt"

    def bring(self) -> None:
        """Copy."""
        self.copy()


class DltDbt(Peer):
    """dlt with connectorx, CSV files and three workers, then dbt."""

    name = "dlt-dbt"
    title = "dlt + dbt"

    @property
    def python(self) -> Path:
        """The Python that dlt is installed in."""
        return self.directory / "venv-dlt/bin/python"

    def prepare(self) -> None:
        """Make the database, and warm dlt's own."""
        super().prepare()
        run([self.python, "-c", "import dlt.sources.sql_database, connectorx, dlt.destinations"])

    def bring(self) -> None:
        """Let dlt replace the three tables."""
        scratch = self.pair.home.path / "dlt"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        urls = {
            "BENCH_SOURCE": f"postgresql+psycopg2{self.source.removeprefix('postgresql')}",
            "BENCH_TARGET": self.dsn,
        }
        run([self.python, HERE / "dlt_load.py", scratch], urls, scratch)
        shutil.rmtree(scratch)


class IngestrDbt(Peer):
    """ingestr, one process per table, then dbt."""

    name = "ingestr-dbt"
    title = "ingestr + dbt"

    @property
    def ingestr(self) -> Path:
        """The program ingestr."""
        return self.directory / "venv-ingestr/bin/ingestr"

    def programs(self) -> list[Path]:
        """Return the programs that it starts."""
        return [*super().programs(), self.ingestr]

    def ingest(self, source: str, *words: str) -> None:
        """Start ingestr."""
        run(
            [self.ingestr, "ingest", "--yes", "--progress", "log", *words],
            {"SOURCE_URI": source, "DESTINATION_URI": f"{self.dsn}?sslmode=disable"},
            self.pair.home.path,
        )

    def bring(self) -> None:
        """Let three processes replace the three tables."""
        together(*(
            lambda table=table: self.ingest(
                f"{self.source}?sslmode=disable", "--no-load-timestamp",
                "--source-table", f"public.{table}", "--dest-table", f"raw.{table}",
            )
            for table in TABLES
        ))  # fmt: skip


class IngestrCdcDbt(IngestrDbt):
    """ingestr's change data capture, which keeps changes of a table without a key as a log, then dbt on that log."""

    name = "ingestr-cdc-dbt"
    title = "ingestr CDC + dbt"

    def prepare(self) -> None:
        """Make the database, and publish the tables at the source."""
        super().prepare()
        self.pair.drop_slots("bench\\_ingestr")
        execute(self.source, "drop publication if exists bench_ingestr")
        execute(self.source, "create publication bench_ingestr for table customers, products, sales")
        execute(self.source, "alter table public.sales replica identity full")

    def bring(self) -> None:
        """Bring what changed since the last time, or at first all."""
        source = f"postgres+cdc{self.source.removeprefix('postgresql')}"
        self.ingest(f"{source}?sslmode=disable&publication=bench_ingestr&slot=bench_ingestr&dest_schema=cdc")

    def transform(self, **variables: object) -> None:
        """Let dbt build the star from the log."""
        super().transform(raw="cdc", is_log="true", **variables)

    def result(self) -> Result:
        """Return where its result is; the copy is a log, so only the star is compared."""
        return Result(self.dsn, is_log=True)

    def remove(self) -> None:
        """Drop its database and its slot."""
        self.pair.drop_slots("bench\\_ingestr")
        super().remove()


class Mimeo(Peer):
    """mimeo's snapshots, three sessions at once: the load alone."""

    name = "mimeo"
    title = "mimeo (load alone)"
    has_star = False

    def prepare(self) -> None:
        """Make the database with mimeo and its snapshot tables, empty."""
        super().prepare()
        parts = urlsplit(self.source)
        place = f"host=127.0.0.1 port={parts.port} dbname={parts.path.lstrip('/')}"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                "create schema mimeo; create schema raw; create extension dblink;"
                " set client_min_messages = warning; create extension mimeo schema mimeo"
            )
            connection.execute(
                "insert into mimeo.dblink_mapping_mimeo (data_source, username, pwd) values (%s, %s, %s)",
                [place, unquote(parts.username or ""), unquote(parts.password or "")],
            )
            for table in TABLES:
                connection.execute(
                    "select mimeo.snapshot_maker(%s, 1, %s, p_index := false, p_pulldata := false)",
                    [f"public.{table}", f"raw.{table}"],
                )

    def bring(self) -> None:
        """Refresh the three snapshots."""
        together(*(
            lambda table=table: execute(
                self.dsn, f"select mimeo.refresh_snap('raw.{table}', p_index := false, p_check_stats := false)"
            )
            for table in TABLES
        ))  # fmt: skip


FIRST: tuple[type[Contestant], ...] = (
    Headrace, HeadraceFull, Floor, FloorUnlogged, CopyDbt, DltDbt, IngestrDbt, Mimeo,
)  # fmt: skip
CHANGE: tuple[type[Contestant], ...] = (Headrace, HeadraceFull, CopyDbt, IngestrCdcDbt)
LOCKS: Mapping[str, Sequence[str]] = {
    "copy-dbt": ("dbt",),
    "dlt-dbt": ("dlt", "dbt"),
    "ingestr-dbt": ("ingestr", "dbt"),
    "ingestr-cdc-dbt": ("ingestr", "dbt"),
}


def available(contestant: type[Contestant], directory: Path, server: machine.Server) -> str:
    """Say why a contestant cannot take part; empty if it can."""
    if contestant is Mimeo and not any(name == "mimeo" for name in machine_extensions(server)):
        return f"the extension mimeo of PostgreSQL {server.version} is not installed"
    missing = [
        lock for lock in LOCKS.get(contestant.name, ()) if not (directory / f"venv-{lock}/headrace.stamp").exists()
    ]
    return f"{' and '.join(missing)} could not be installed" if missing else ""


def machine_extensions(server: machine.Server) -> frozenset[str]:
    """Return the extensions that a server has now; what was installed since it was found is among them."""
    found = machine.inspect(server.bin)
    return found.extensions if found else frozenset()
