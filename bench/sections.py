"""What is measured, section by section. Each keeps its measurements at once, and leaves out what was kept before."""

from __future__ import annotations

import contextlib
import functools
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from bench import check, contestants, servers
from bench.check import WrongResult
from bench.contestants import Contestant, Headrace, execute, psql_words, together
from bench.host import Cost, Meter
from bench.servers import Pair
from bench.store import Measurement, Store
from db import deploy, psql
from db.problem import Problem
from db.stage import Stage

ROOT = Path(__file__).resolve().parent.parent
IDLE = 20  # runs with nothing to do, and empty queries beside them
LOOKS = 7  # times a reader's query is timed
LOOP = 45  # seconds that the loop runs while single rows are committed
GAP = (0.05, 0.35)  # seconds between two of them
POLL = 0.005  # seconds between two looks whether one arrived
PATIENCE = 120  # seconds for native replication to arrive
CAPTURED = 3  # times the changes of a run, for the capture through the slot
READERS = {
    "most_popular_product": "select dwh.most_popular_product()",
    "dashboard": "select dwh.dashboard()",
}
HAS_DASHBOARD = """
select exists (select from pg_proc p where p.proname = 'dashboard' and p.pronamespace = to_regnamespace('dwh')
               and p.pronargs = p.pronargdefaults)
"""
RARE_SALE = "select (select max(id) from public.customers), (select max(id) from public.products)"
ARRIVED = "select f.qty from dwh.sales_of_customer(%s) f where f.product_id = %s and f.qty > %s"
FIRST_QTY = 1_000_000  # a quantity that no other sale has


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Args:
        rows: sales of the main size.
        repeat: how often.
        scale: sales of the sizes that a change run is compared on.
        changes: changes before a change run.
        directory: where instances, environments and results are.
        names: contestants that take part; empty: all that can.
    """

    rows: int
    repeat: int
    scale: Sequence[int]
    changes: int
    directory: Path
    names: Sequence[str] = ()


@dataclass
class Bench:
    """The benchmark on its two instances."""

    plan: Plan
    pair: Pair
    store: Store
    absent: dict[str, str] = field(default_factory=dict)
    _shops: dict[int, str] = field(default_factory=dict)
    _expected: dict[int, dict[str, str]] = field(default_factory=dict)
    _kept: dict[tuple[str, int], Contestant] = field(default_factory=dict)
    _changed: int = 0

    # ------------------------------------------------------------------------------------------------------------------
    # The source
    # ------------------------------------------------------------------------------------------------------------------
    def generate(self, sizes: Sequence[int]) -> None:
        """Make the operational databases of these sizes, before there is a slot that would have to keep their log."""
        missing = sorted({size for size in sizes if size not in self._shops}, reverse=True)
        if not missing:
            return
        with Stage("sample data") as stage:
            stage.note = ", ".join(f"{size:,}".replace(",", " ") for size in missing)
            together(*(functools.partial(self._generate, size) for size in missing))

    def _generate(self, rows: int) -> None:
        dsn = self.pair.create(self.pair.source(f"shop_{rows}"))
        folder = ROOT / "db/operational"
        for file in (folder / "schema.sql", *sorted(folder.glob("*.sql"))):
            execute(dsn, file.read_text(encoding="utf-8"))
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("call public.generate(rows => %s, seed => 1)", [rows])
            connection.execute(servers.text("orphans").encode(), {"rows": rows})
            connection.execute("vacuum (freeze, analyze)")
        self._shops[rows] = dsn

    def shop(self, rows: int) -> str:
        """Return the URL of the operational database of a size."""
        self.generate([rows])
        return self._shops[rows]

    def expected(self, rows: int) -> Mapping[str, str]:
        """Return what a right result adds up to."""
        if rows not in self._expected:
            self._expected[rows] = check.of_source(self.shop(rows))
        return self._expected[rows]

    def change(self, rows: int, script: str = "change", changes: int = 0) -> None:
        """Let the source change."""
        self._changed += 1
        many = changes or self.plan.changes
        told = {"changes": many, "round": self._changed, "share": min(100.0, 100 * many / 10 * 1.3 / rows + 0.01)}
        self._expected.pop(rows, None)
        with psycopg.connect(self.shop(rows), autocommit=True) as connection:
            for statement in servers.text(script).split(";\n"):
                if statement.strip():
                    connection.execute(statement.encode(), told)

    # ------------------------------------------------------------------------------------------------------------------
    # Measuring
    # ------------------------------------------------------------------------------------------------------------------
    def taking_part(self, all_of_them: Sequence[type[Contestant]]) -> list[type[Contestant]]:
        """Return the contestants that can take part, and keep why others cannot."""
        able = []
        for contestant in all_of_them:
            if self.plan.names and contestant.name not in self.plan.names:
                continue
            if reason := contestants.available(contestant, self.plan.directory, self.pair.server):
                self.absent[contestant.name] = reason
            else:
                able.append(contestant)
        return able

    def measured(
        self, section: str, contestant: Contestant, rows: int, number: int, *, checked: bool = True,
        work: Callable[[], Mapping[str, float]] | None = None,
    ) -> Measurement:  # fmt: skip
        """Time a contestant's work, check what came of it, and keep both."""
        self.pair.settle()
        expected = self.expected(rows) if checked else {}
        parts: Mapping[str, float] = {}
        refused = ""
        where = "" if rows == self.plan.rows else f" at {rows:,}".replace(",", " ")
        with Stage(f"{section} {number}{where}, {contestant.title}") as stage:
            meter = Meter(self.pair.both, self.shop(rows))
            try:
                with meter:
                    parts = (work or contestant.load)()
                if checked:
                    check.check(contestant.result(), expected)
            except (Problem, WrongResult, psycopg.Error) as error:
                refused = str(error).strip() or type(error).__name__
            timed = ("published",) if "published" in parts else ("load", "transform", "run")
            seconds = sum(parts[part] for part in timed if part in parts) or meter.cost.seconds
            stage.note = f"REFUSED: {refused}" if refused else f"took {seconds:.2f} s"
        return self.keep(section, contestant.name, rows, number, seconds, parts, meter.cost, refused)

    def keep(
        self, section: str, name: str, rows: int, number: int, seconds: float, parts: Mapping[str, float],
        cost: Cost, refused: str = "", **facts: float,
    ) -> Measurement:  # fmt: skip
        """Keep a measurement with what it cost."""
        seen = {
            "source CPU": cost.source_cpu,
            "warehouse CPU": cost.warehouse_cpu,
            "snapshot": cost.snapshot,
            "WAL kept": cost.wal,
            **{f"{instance} memory": kb * 1024.0 for instance, kb in cost.memory_kb.items()},
        }
        measurement = Measurement(
            section, name, rows, number, seconds, dict(parts), cost.others, seen | facts, refused
        )  # fmt: skip
        self.store.add(measurement)
        return measurement

    def loaded(self, kind: type[Contestant], rows: int) -> Contestant:
        """Return a contestant that has loaded a size and kept it; load it if none has."""
        if (kind.name, rows) not in self._kept:
            contestant = kind(self.pair, self.shop(rows), f"{kind.name}_{rows}".replace("-", "_"))
            contestant.prepare()
            if not kind.loads_anew:
                self.measured("load to stay", contestant, rows, 1)
            self.keep_loaded(contestant, rows)
        return self._kept[kind.name, rows]

    def keep_loaded(self, contestant: Contestant, rows: int) -> None:
        """Keep what a contestant has loaded; what autovacuum would do some time is done now, for all alike."""
        with psycopg.connect(contestant.dsn, autocommit=True) as connection:
            connection.execute("vacuum (analyze)")
        self._kept[contestant.name, rows] = contestant

    def missing(self, section: str, names: Sequence[str], rows: int, rounds: int) -> bool:
        """Say whether something of a section is still to be measured."""
        return any(not self.store.has(section, name, rows, n) for name in names for n in range(1, rounds + 1))

    # ------------------------------------------------------------------------------------------------------------------
    # Sections
    # ------------------------------------------------------------------------------------------------------------------
    def first_load(self) -> None:
        """From the source's tables to the published star, from nothing."""
        rows = self.plan.rows
        kinds = self.taking_part(contestants.FIRST)
        if self.missing("first load", [kind.name for kind in kinds], rows, self.plan.repeat):
            self._warm_up()
        to_stay = {kind.name for kind in contestants.CHANGE if kind in kinds and not issubclass(kind, contestants.Copy)}
        for number in range(1, self.plan.repeat + 1):
            for kind in rotated(kinds, number):
                if self.store.has("first load", kind.name, rows, number):
                    continue
                contestant = kind(self.pair, self.shop(rows), f"{kind.name}_{rows}".replace("-", "_"))
                contestant.prepare()
                outcome = self.measured("first load", contestant, rows, number)
                if number == self.plan.repeat and kind.name in to_stay and not outcome.refused:
                    self.keep_loaded(contestant, rows)
                else:
                    contestant.remove()

    def _warm_up(self) -> None:
        """Load once, and throw it away: who comes first pays for memory that an instance never touched before.

        The floor would touch little of it, since PostgreSQL copies and creates tables through a ring of few buffers.
        """
        first = Headrace(self.pair, self.shop(self.plan.rows), "warm_up")
        first.prepare()
        try:
            with Stage("warm-up, not counted"):
                first.load()
        finally:
            first.remove()

    def change_run(self) -> None:
        """From changes at the source to the published star, on top of what was loaded."""
        rows = self.plan.rows
        kinds = self.taking_part(contestants.CHANGE)
        if not self.missing("change run", [kind.name for kind in kinds], rows, self.plan.repeat):
            return
        for kind in kinds:
            self.loaded(kind, rows)
        for number in range(1, self.plan.repeat + 1):
            self.change(rows)
            for kind in rotated(kinds, number):
                self.measured("change run", self.loaded(kind, rows), rows, number)
        for kind in kinds:
            if kind is not Headrace:
                self._kept.pop((kind.name, rows)).remove()

    def idle_run(self) -> None:
        """A run with nothing to do, beside a psql that asks for nothing."""
        rows = self.plan.rows
        if not self.missing("idle run", ["headrace", "psql"], rows, 1):
            return
        world = self.loaded(Headrace, rows)
        calls = {"headrace": "call etl.run('sales')", "psql": "select 1"}
        times: dict[str, list[float]] = {name: [] for name in calls}
        cost = {name: Cost() for name in calls}
        with Stage(f"idle run, {IDLE} times") as stage:
            for _ in range(IDLE + 1):
                for name, call in calls.items():
                    words, environment = psql_words(world.dsn)
                    with Meter(self.pair.both) as meter:
                        subprocess.run([*words, "-c", call], env=environment, check=True, capture_output=True)
                    times[name].append(meter.cost.seconds)
                    cost[name] = meter.cost
            for name, taken in times.items():
                del taken[0]  # the first one fills caches
                middle = sorted(taken)[len(taken) // 2]
                self.keep("idle run", name, rows, 1, middle, {}, cost[name], least=min(taken), most=max(taken))
                stage.note += f"{name} {middle * 1000:.0f} ms  "

    def latency(self) -> None:
        """From the commit of one row at the source to readers of dwh, while the loop looks every second."""
        rows = self.plan.rows
        if not self.missing("latency", ["headrace"], rows, 1):
            return
        world = self.loaded(Headrace, rows)
        words, environment = psql_words(world.dsn)
        call = f"call etl.run_loop('sales', every => '1 second', lasting => '{LOOP} seconds')"
        with Stage("commit to visible, loop at 1 s") as stage, Meter(self.pair.both) as meter:
            loop = subprocess.Popen([*words, "-c", call], env=environment, stderr=subprocess.PIPE, text=True)
            try:
                waits, lost = self._commit_and_watch(world, rows, loop)
                said = loop.communicate(timeout=PATIENCE)[1]
            finally:
                loop.kill()
            stage.note = f"{len(waits)} rows"
        refused = f"{lost} rows did not arrive: {said.strip()[-200:]}" if lost or not waits else ""
        waits = sorted(waits) or [0.0]
        at = {f"p{p}": waits[min(len(waits) - 1, int(len(waits) * p / 100))] for p in (50, 99)}
        self.keep("latency", "headrace", rows, 1, at["p50"], {}, meter.cost, refused, **at)
        self._expected.pop(rows, None)

    def _commit_and_watch(self, world: Contestant, rows: int, loop: subprocess.Popen[str]) -> tuple[list[float], int]:
        committed: dict[int, float] = {}
        seen: dict[int, float] = {}
        stop = threading.Event()
        chance = random.Random(rows)

        with (
            psycopg.connect(self.shop(rows), autocommit=True) as source,
            psycopg.connect(world.dsn, autocommit=True) as reader,
        ):
            sale = source.execute(RARE_SALE).fetchone() or (1, 1)

            def commit() -> None:
                until = time.monotonic() + LOOP - 5
                number = FIRST_QTY
                while time.monotonic() < until and not stop.wait(chance.uniform(*GAP)):
                    number += 1
                    source.execute("insert into public.sales values (%s, %s, %s)", [*sale, number])
                    committed[number] = time.monotonic()

            writer = threading.Thread(target=commit, daemon=True)
            writer.start()
            try:
                while writer.is_alive() or (len(seen) < len(committed) and loop.poll() is None):
                    found = reader.execute(
                        ARRIVED,
                        [*sale, FIRST_QTY],
                    ).fetchall()
                    now = time.monotonic()
                    for (number,) in found:
                        seen.setdefault(int(number), now)
                    time.sleep(POLL)
            finally:
                stop.set()
                writer.join()
        return [seen[n] - committed[n] for n in committed if n in seen], len(committed) - len(seen)

    def scale(self) -> None:
        """The same changes on tables of different sizes, and what readers and memory have of the size.

        One size after the other, each when it was just loaded or read: a warehouse has its memory for itself, and
        loading the largest drives the others out of it.
        """
        sizes = sorted(set(self.plan.scale))
        rounds = max(3, self.plan.repeat)
        todo = [size for size in sizes if self.missing("scale", ["headrace"], size, rounds)]
        if not todo:
            return
        for size in sizes:
            world = self.loaded(Headrace, size)
            for number in range(1, rounds + 1):
                self.change(size)
                self.measured("scale", world, size, number, checked=number == rounds)
            self._readers(world, size)
            if size not in (self.plan.rows, sizes[0]):  # the smallest is what the slot is measured on
                self._kept.pop((Headrace.name, size)).remove()
                self.pair.drop(self._shops.pop(size))
                self._expected.pop(size, None)

    def _readers(self, world: Contestant, rows: int) -> None:
        with Stage(f"readers' queries at {rows}") as stage, psycopg.connect(world.dsn, autocommit=True) as reader:
            exists = reader.execute(HAS_DASHBOARD).fetchone() == (True,)
            for name, query in READERS.items():
                if name == "dashboard" and not exists:
                    name, query = "dashboard stand-in", servers.text("dashboard")
                taken = []
                with Meter(self.pair.both) as meter:
                    for _ in range(LOOKS):
                        began = time.monotonic()
                        reader.execute(query.encode()).fetchall()
                        taken.append(time.monotonic() - began)
                middle = sorted(taken)[LOOKS // 2]
                stage.note += f"{name} {middle * 1000:.1f} ms  "
                self.keep("readers", name, rows, 1, middle, {}, meter.cost, least=min(taken), most=max(taken))

    def capture(self) -> None:
        """Changes from the slot into the mirror alone, beside the logical replication of PostgreSQL itself."""
        rows = min(self.plan.scale, default=self.plan.rows)
        if not self.missing("capture", ["headrace", "native"], rows, self.plan.repeat):
            return
        changes = CAPTURED * self.plan.changes
        world = self.loaded(Headrace, rows)
        contestants.call(world.dsn, "call etl.run('sales')")  # moves the slot past what other sizes wrote
        native = Native(self.pair, self.shop(rows), "native")
        with Stage("logical replication, first copy"):
            native.prepare()
        for number in range(1, self.plan.repeat + 1):
            native.pause()
            self.change(rows, "capture_change", changes)
            for name in rotated(["headrace", "native"], number):
                if name == "native":
                    self.measured("capture", native, rows, number)
                else:
                    work = functools.partial(captured, world.dsn)
                    outcome = self.measured("capture", CaptureOnly(world), rows, number, work=work)
                    outcome.facts["changes"] = float(changes)
                    self.store.add(outcome)
                    contestants.call(world.dsn, "call etl.run('sales')")
        native.remove()

    def source_cost(self) -> None:
        """What each capture mode costs the source, on one table that all three can read."""
        rows = max(self.plan.rows // 10, 1000)
        modes = ("full", "watermark", "log")
        if not self.missing("source cost", [f"{mode} idle" for mode in modes], rows, 1):
            return
        dsn = self.pair.create(self.pair.source("ledger"))
        execute(dsn, servers.text("ledger").format(rows=rows))
        reader = deploy.make_source_role(self.pair.home, dsn)
        execute(dsn, "vacuum (freeze, analyze)")
        worlds = {mode: Ledger(self.pair, dsn, mode, reader) for mode in modes}
        for world in worlds.values():
            world.prepare()
        many = self.plan.changes // 10 or 10
        for what in ("first", "change", "idle"):
            if what == "change":
                execute(
                    dsn,
                    f"insert into public.ledger (customerid) select n from generate_series(1, {many}) n",
                )
            for mode, world in worlds.items():
                self.pair.settle()
                with Stage(f"source cost, {mode}, {what}"), Meter(self.pair.both, dsn) as meter:
                    world.load()
                refused = "" if world.is_right() else "the mirror is not what the source is"
                self.keep("source cost", f"{mode} {what}", rows, 1, meter.cost.seconds, {}, meter.cost, refused)
        for world in worlds.values():
            world.remove()
        self.pair.drop(dsn)


def rotated(items: Sequence, number: int) -> list:  # type: ignore[type-arg]
    """Return items beginning with another one each time, so that none always comes first."""
    begin = (number - 1) % max(len(items), 1)
    return [*items[begin:], *items[:begin]]


def captured(dsn: str) -> Mapping[str, float]:
    """Capture all that waits."""
    contestants.call(dsn, servers.text("capture"))
    return {}


class CaptureOnly(Headrace):
    """Headrace's capture without its publish: only the mirror is compared."""

    def __init__(self, world: Contestant) -> None:
        """Work in another one's database."""
        super().__init__(world.pair, world.source, urlsplit(world.dsn).path.lstrip("/"))

    def result(self) -> check.Result:
        """Return the mirror alone."""
        return check.Result(self.dsn, raw="mrr", star=None)


class Native(Contestant):
    """Logical replication of PostgreSQL itself, binary and streaming: the capture alone."""

    name = "native"
    title = "Logical replication"
    has_star = False

    def prepare(self) -> None:
        """Subscribe, and wait for the first copy."""
        self.remove()
        self.pair.create(self.dsn)
        execute(self.pair.target("postgres"), "alter system set wal_retrieve_retry_interval = '50ms'")
        execute(self.pair.target("postgres"), "select pg_reload_conf()")
        execute(self.dsn, (ROOT / "db/operational/schema.sql").read_text(encoding="utf-8"))
        execute(self.source, "drop publication if exists bench_native")
        execute(self.source, "create publication bench_native for table customers, products, sales")
        parts = urlsplit(self.source)
        place = psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=str(parts.port), dbname=parts.path.lstrip("/"), user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )  # fmt: skip
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL(
                    "create subscription bench_native connection {} publication bench_native"
                    " with (binary = true, streaming = true)"
                ).format(place)
            )
        self._wait(self.dsn, "select bool_and(srsubstate = 'r') from pg_subscription_rel")
        execute(self.dsn, "vacuum (analyze)")

    def pause(self) -> None:
        """Let changes gather."""
        execute(self.dsn, "alter subscription bench_native disable")
        self._wait(self.source, "select not active from pg_replication_slots where slot_name = 'bench_native'")

    def load(self) -> contestants.Parts:
        """Apply what has gathered."""
        with psycopg.connect(self.source) as connection:
            (position,) = connection.execute("select pg_current_wal_flush_lsn()").fetchone() or ("",)
        execute(self.dsn, "alter subscription bench_native enable")
        self._wait(
            self.source,
            f"select confirmed_flush_lsn >= '{position}' from pg_replication_slots where slot_name = 'bench_native'",
        )
        return {}

    def _wait(self, dsn: str, condition: str) -> None:
        deadline = time.monotonic() + PATIENCE * 5
        with psycopg.connect(dsn, autocommit=True) as connection:
            while connection.execute(condition.encode()).fetchone() != (True,):
                if time.monotonic() > deadline:
                    raise Problem(f"logical replication did not get there: {condition}")
                time.sleep(POLL)

    def result(self) -> check.Result:
        """Return the copies."""
        return check.Result(self.dsn, raw="public", star=None)

    def remove(self) -> None:
        """Unsubscribe."""
        with contextlib.suppress(psycopg.Error):
            execute(self.dsn, "drop subscription if exists bench_native")
        super().remove()


class Ledger(Headrace):
    """A warehouse that mirrors one table with a growing key, by one capture mode."""

    def __init__(self, pair: Pair, source: str, mode: str, reader: str) -> None:
        """Keep the mode and who reads the source."""
        super().__init__(pair, source, f"ledger_{mode}")
        self.mode = mode
        self.reader = reader

    def prepare(self) -> None:
        """Deploy, and register the table."""
        self.remove()
        self.pair.create(self.dsn)
        self.deploy()
        with deploy.connected(self.dsn, "the warehouse") as connection:
            deploy.add_source(connection, "op", self.reader)
            if self.mode == "log":
                (name,) = connection.execute("select etl.slot_name('ledger')").fetchone() or ("",)
                told = ("-v", f"publication={name}", "-v", "tables=public.ledger")
                psql.run(self.source, *told, "-f", str(deploy.SOURCE_SCRIPT))
            connection.execute(
                "call etl.add_table(source => 'op', source_table => 'public.ledger', pipeline => 'ledger',"
                " capture => %s, watermark => %s)",
                [self.mode, "id" if self.mode == "watermark" else None],
            )

    def load(self) -> contestants.Parts:
        """Run the pipeline."""
        contestants.call(self.dsn, "call etl.run('ledger')")
        return {}

    def is_right(self) -> bool:
        """Say whether the mirror adds up to what the table does."""
        query = "select count(*), sum(id), sum(customerid), sum(productid), sum(qty) from {}.ledger"
        found = []
        for dsn, schema in ((self.source, "public"), (self.dsn, "mrr")):
            with psycopg.connect(dsn) as connection:
                found.append(connection.execute(query.format(schema).encode()).fetchone())
        return found[0] == found[1]


SECTIONS: Mapping[str, Callable[[Bench], None]] = {
    "first": Bench.first_load,
    "change": Bench.change_run,
    "idle": Bench.idle_run,
    "latency": Bench.latency,
    "scale": Bench.scale,
    "capture": Bench.capture,
    "source": Bench.source_cost,
}


@contextlib.contextmanager
def on_instances(plan: Plan, store: Store, servers_found: Sequence) -> Iterator[Bench]:  # type: ignore[type-arg]
    """Start the instances and yield the benchmark on them."""
    with servers.pair(plan.directory, servers_found) as pair:
        yield Bench(plan, pair, store)
