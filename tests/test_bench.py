"""The benchmark counts only what is right, says what it saw, and leaves nothing behind."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import check, contestants, host, page, servers
from bench.check import Result, WrongResult
from bench.store import Figure, Measurement, Store
from db import machine
from db.home import Home
from db.instance import Instance
from db.problem import Problem
from tests.capture import log_sample
from tests.conftest import ROOT
from tests.support import Database, Flow, wait_until

ABOUT = {
    "asked for": {"rows": 10_000_000, "changes": 100_000},
    "machine": {"CPU": "a processor"},
    "versions": {"dlt": "1.2.3"},
    "command": "python3 bootstrap.py bench",
}
DATA = """
insert into public.customers values (1, 'Ada', 'GB'), (2, 'Bo', 'SE'), (3, 'Cleo', null);
insert into public.products values (1, 'Saw', 'Tools'), (2, 'Axe', 'Tools');
insert into public.sales values (1, 1, 2), (1, 1, 2), (2, 1, 5), (3, 2, 1), (9, 1, 4), (2, 8, 1);
"""
CHANGES = """
update public.customers set country = 'SE' where id = 1;
delete from public.sales where ctid = (select min(ctid) from public.sales where customerid = 1);
insert into public.sales values (1, 2, 7);
"""


def start(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark as a user does."""
    return subprocess.run(
        [sys.executable, ROOT / "bootstrap.py", "bench", *words],
        env={**os.environ, "HEADRACE_HOME": str(home)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a home that the servers' user can reach: pytest closes its own directories to others, at any time."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "home"


def test_a_small_benchmark_from_end_to_end(home: Path, tmp_path: Path) -> None:
    """Headrace and the floor load alike, each section is found right; a page is written; only the results stay."""
    written = tmp_path / "performance.md"
    done = start(
        home, "--rows", "2000", "--changes", "200", "--scale", "1000,2000", "--quick",
        "--only", "first", "change", "scale", "capture", "source", "headrace", "floor", "--busy", "--json",
        "--write", str(written),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(done.stdout)["measurements"]
    assert not [m for m in measured if m["refused"] or m["seconds"] <= 0]
    assert all(m["facts"]["warehouse CPU"] > 0 for m in measured if m["section"] == "first load")
    (loaded,) = [m for m in measured if (m["section"], m["name"]) == ("first load", "headrace")]
    assert loaded["seconds"] == loaded["parts"]["published"] <= loaded["parts"]["run"]
    assert not [m for m in measured if m["section"] == "change run" and "published" in m["parts"]]
    assert {(m["section"], m["name"], m["rows"]) for m in measured} == {
        ("first load", "headrace", 2000), ("first load", "floor", 2000), ("change run", "headrace", 2000),
        ("load to stay", "headrace", 1000), ("scale", "headrace", 1000), ("scale", "headrace", 2000),
        *(("readers", query, rows) for query in ("most_popular_product", "dashboard") for rows in (1000, 2000)),
        ("capture", "headrace", 1000), ("capture", "native", 1000),
        *(("source cost", f"{mode} {what}", 1000)
          for mode in ("full", "watermark", "log") for what in ("first", "change", "idle")),
    }  # fmt: skip
    assert "| Headrace, log |" in written.read_text()
    assert "Floor, durable" in written.with_suffix(".svg").read_text()
    assert sorted(path.name for path in (home / "bench").iterdir()) == ["lock", "results.jsonl"]
    assert not [process for process in Path("/proc").glob("[0-9]*") if str(home) in host.read(process / "cmdline")]


def test_unknown_names_are_told(home: Path) -> None:
    """A name that is neither a section nor a contestant stops it before anything is made."""
    done = start(home, "--only", "airbyte")
    assert done.returncode == 1
    assert "no section and no contestant airbyte" in done.stderr
    assert not (home / "bench").exists()


# ---------------------------------------------------------------------------------------------------------------------
# A wrong result does not count
# ---------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def pair(operational: Database, warehouse: Database) -> servers.Pair:
    """Return the instances of the tests as the benchmark knows its own."""
    home = Home(Path(os.environ["HEADRACE_HOME"]))
    return servers.Pair(
        home,
        Instance("operational", home, operational.server.port, throwaway=True),
        Instance("warehouse", home, warehouse.server.port, throwaway=True),
        machine.choose(machine.installed()),
    )


def test_slots_go_with_a_warehouse(
    operational: Database, warehouse: Database, pair: servers.Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that is left keeps the source's log, and what it keeps is measured of whoever comes next."""
    log_sample(operational, warehouse).run()
    left = (
        "select slot_name::text from pg_replication_slots where database = current_database()"
        " union all select pubname::text from pg_publication"
    )
    assert len(operational.query(left)) == 2
    monkeypatch.setattr(contestants.Contestant, "remove", lambda _: None)  # the database goes with the test
    contestants.Headrace(pair, operational.dsn, warehouse.dsn.rpartition("/")[2]).remove()
    assert operational.query(left) == []


@pytest.fixture
def floor(operational: Database, pair: servers.Pair) -> Iterator[contestants.Floor]:
    """Yield a floor that has loaded, sales of unknown customers and products among its rows."""
    operational.execute(DATA)
    contestant = contestants.Floor(pair, operational.dsn, "bench_floor")
    contestant.prepare()
    assert set(contestant.load()) == {"load", "transform"}
    yield contestant
    contestant.remove()


def test_a_right_floor_counts_and_a_lost_orphan_does_not(floor: contestants.Floor) -> None:
    """An inner join, which drops the sales of unknown customers, is found out."""
    expected = check.of_source(floor.source)
    check.check(floor.result(), expected)
    contestants.execute(floor.dsn, "delete from star.fact_sales where customer_key is null")
    with pytest.raises(WrongResult, match="orphans: 1, not 2"):
        check.check(floor.result(), expected)


@pytest.fixture
def changed(sales: Flow) -> Flow:
    """Return a Headrace that has loaded, and has run once more after changes."""
    sales.operational.execute(DATA)
    sales.run()
    sales.operational.execute(CHANGES)
    sales.run()
    return sales


def headrace(flow: Flow) -> Result:
    """Return where its result is."""
    return Result(flow.warehouse.dsn, raw="mrr", star="dwh", keeps_history=True)


def test_a_right_headrace_counts(changed: Flow) -> None:
    """Old sales stay with the customer's old country, and that is not taken for an error."""
    check.check(headrace(changed), check.of_source(changed.operational.dsn))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("delete from mrr.sales where ctid = (select min(ctid) from mrr.sales)", "copy of sales"),
        ("update mrr.customers set name = 'Eve' where id = 2", "copy of customers"),
        ("update dwh.dim_product set name = 'Pen' where product_id = 2 and is_current", "products: "),
        ("delete from dwh.dim_customer where customer_id = 3", "customers: "),
        ("update dwh.fact_sales set qty = qty + 1 where product_id = 2", "sales: "),
        ("insert into dwh.fact_sales (source, customer_id, product_id, customer_key, product_key, qty, captured_at,"
         " captured_on, batch_id) select source, customer_id, product_id, customer_key, product_key, qty, captured_at,"
         " captured_on, batch_id from dwh.fact_sales limit 1", "sales: "),
        ("update dwh.sales_by_product set units = units + 1", "by product: "),
        ("update dwh.sales_by_day set country = 'FR' where country = 'SE'", "by country and product: "),
    ],
)  # fmt: skip
def test_a_wrong_headrace_does_not_count(changed: Flow, wrong: str, said: str) -> None:
    """Whatever is planted in mirror, dimension, fact or aggregate is found."""
    expected = check.of_source(changed.operational.dsn)
    changed.warehouse.execute(wrong)
    with pytest.raises(WrongResult, match=said):
        check.check(headrace(changed), expected)


# ---------------------------------------------------------------------------------------------------------------------
# What is told
# ---------------------------------------------------------------------------------------------------------------------
Measured = Callable[..., Store]


@pytest.fixture
def store(tmp_path: Path) -> Measured:
    """Return a function that makes a store of first loads: a contestant's seconds, round by round."""

    def make(**seconds: list[float]) -> Store:
        made = Store(tmp_path / "results.jsonl", ABOUT)
        for name, taken in seconds.items():
            for number, each in enumerate(taken, 1):
                made.add(Measurement("first load", name.replace("_", "-"), 10_000_000, number, each))
        return made

    return make


def report(found: Store) -> page.Report:
    """Return the report of a store."""
    return page.Report(found, {"mimeo": "it is not installed"}, datetime.date(2026, 3, 2))


def verdicts(found: Store) -> dict[str, bool | None]:
    """Return whether the targets of the first load are met."""
    return {t.what: t.met for t in report(found).targets()[:2]}


def test_targets_compare_medians(store: Measured) -> None:
    """One slow round changes nothing; what was not measured is neither met nor missed."""
    met = store(headrace=[9, 10, 30], floor=[10, 11, 10.5], copy_dbt=[25, 26, 24], dlt_dbt=[40, 41, 39])
    assert list(verdicts(met).values()) == [True, True]
    missed = store(headrace=[12, 10, 13], floor=[10, 11, 10.5], copy_dbt=[20, 23, 22])
    assert list(verdicts(missed).values()) == [False, False]
    assert list(verdicts(store(headrace=[12])).values()) == [None, None]


def test_what_was_refused_counts_nowhere(store: Measured) -> None:
    """A refused time is in no median, it is named, and it is measured again when the benchmark goes on."""
    found = store(headrace=[10, 11], floor=[10])
    found.add(Measurement("first load", "headrace", 10_000_000, 3, 0.1, refused="sales: 9, not 10"))
    again = Store(found.path, ABOUT, resume=True)
    assert again.seconds("first load", "headrace") == Figure(10.5, 10, 11, 2)
    assert not again.has("first load", "headrace", 10_000_000, 3)
    assert "Refused: first load 3 of Headrace, log: sales: 9, not 10." in "\n".join(report(again).body("p.svg"))


def test_goes_on_only_with_the_same_benchmark(store: Measured) -> None:
    """Results of another size or machine are not mixed in, and not lost."""
    found = store(headrace=[10])
    with pytest.raises(Problem, match="machine differ"):
        Store(found.path, {**ABOUT, "machine": {"CPU": "another"}}, resume=True)
    again = Store(found.path, {**ABOUT, "command": "bench --only first"}, resume=True)
    assert again.has("first load", "headrace", 10_000_000, 1)


def test_the_page_is_written_between_its_marks(store: Measured, tmp_path: Path) -> None:
    """What people wrote around the marks stays, and writing again replaces what was between them."""
    path = tmp_path / "performance.md"
    path.write_text(f"# Speed\n\nBefore.\n\n{page.BEGIN}\nold\n{page.END}\n\nAfter.\n")
    for seconds in (10.0, 20.0):
        report(store(headrace=[seconds], floor=[20.0])).write(path)
    text = path.read_text()
    assert text.startswith("# Speed\n\nBefore.\n") and text.endswith("\nAfter.\n")
    assert "old" not in text and "0.50 ×" not in text
    assert "| First load of 10 M sales, to the durable floor | at most 1.0 × | 1.00 × | yes |" in text
    assert "Not available: mimeo (load alone), since it is not installed." in text


def test_a_peer_that_hangs_is_refused() -> None:
    """Its program is ended, and named; what a peer says is its own."""
    with pytest.raises(Problem, match=r"sh had not ended after 0\.5 s"):
        contestants.run(["sh", "-c", "sleep 86399; true"], most=0.5)
    wait_until(
        lambda: not [found for found in Path("/proc").glob("[0-9]*") if "86399" in host.read(found / "cmdline")],
        what="its processes to end",
    )


def test_a_busy_machine_is_told(store: Measured) -> None:
    """The page says so where others worked while it was measured."""
    found = store(floor=[10.0])
    assert "The machine was quiet" in report(found).quiet()
    found.add(Measurement("first load", "floor", 10_000_000, 1, 10.0, others=0.8))
    assert "**The machine was not quiet**" in report(found).quiet()


def test_others_are_seen() -> None:
    """What another process takes is told from what the servers take."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        share = host.others_share(0.5)
        other.kill()
    assert share > 0.2
