"""Neighbours: a scheduler that triggers a run and waits for its outcome; the catalog file for Trino."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

from tests.conftest import ROOT
from tests.support import Database, Flow, locked, waiting_for_lock

SCRIPT = ROOT / "db" / "run_and_wait.sh"
CATALOG = ROOT / "db" / "trino" / "warehouse.properties"


def trigger(warehouse: Database, *arguments: str, password: str | None = None) -> subprocess.CompletedProcess[str]:
    """Call the script as headrace_runner."""
    dsn = warehouse.dsn_of("headrace_runner", password or warehouse.server.passwords["headrace_runner"])
    return subprocess.run(["sh", SCRIPT, dsn, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_exit_code_is_the_outcome_of_the_run(sales: Flow) -> None:
    """Success, a failed run with its reason, no connection, wrong use."""
    sales.seed()
    done = trigger(sales.warehouse, "sales")
    assert done.returncode == 0, done.stderr
    assert "run 1 succeeded" in done.stderr
    assert sales.last_run("status, started_by") == ("succeeded", "headrace_runner")

    sales.operational.execute(
        "insert into public.customers values (7, 'New', 'NO'); alter table public.products rename to gone"
    )
    done = trigger(sales.warehouse, "sales")
    assert done.returncode == 3
    assert "has no table public.products any more" in done.stderr
    assert trigger(sales.warehouse, "sales", password="wrong").returncode == 2
    assert trigger(sales.warehouse).returncode == 64
    wrong = trigger(sales.warehouse, "sales", "5m")
    assert wrong.returncode == 64
    assert wrong.stderr.splitlines()[-1].endswith("skipped until the time was up.")
    sales.warehouse.execute("call etl.pause('sales', 'it moves')")
    paused = trigger(sales.warehouse, "sales", "1")
    assert paused.returncode == 75
    assert "paused since" in paused.stderr
    assert trigger(sales.warehouse, "it's not there").returncode == 3


def test_it_waits_while_another_run_is_at_work(sales: Flow) -> None:
    """And gives up when its time is up."""
    sales.seed()
    results: list[subprocess.CompletedProcess[str]] = []
    waiter = threading.Thread(target=lambda: results.append(trigger(sales.warehouse, "sales")))
    with locked(sales.warehouse, "mrr.customers"):
        other = sales.start()
        waiting_for_lock(sales.warehouse, "mrr.customers")
        assert trigger(sales.warehouse, "sales", "0").returncode == 75
        waiter.start()
    other.finish()
    waiter.join(60)
    (done,) = results
    assert done.returncode == 0, done.stderr
    assert sales.warehouse.query("select distinct status from etl.run_log where run_id = 1") == [("succeeded",)]
    sales.assert_facts_equal_model()


def catalog_findings(text: str) -> list[str]:
    """Return what is wrong with a catalog file."""
    properties = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    found = [
        f"unknown property {name}"
        for name in properties
        if not re.fullmatch(
            r"connector\.name|connection-(url|user|password)|unsupported-type-handling|postgresql\.array-mapping", name
        )
    ]
    if properties.get("connector.name") != "postgresql":
        found.append("another connector")
    if not re.fullmatch(
        r"jdbc:postgresql://[\w.]+:\d+/\w+\?sslmode=verify-full.*", properties.get("connection-url", "")
    ):
        found.append("the server is not verified")
    if properties.get("connection-user") != "headrace_reader":
        found.append("more than reading")
    if not re.fullmatch(r"\$\{ENV:\w+\}", properties.get("connection-password", "")):
        found.append("a password in the file")
    return found


def test_catalog_for_trino() -> None:
    """It reads, over a verified connection, with a password from the environment; a fault in each is found."""
    text = Path(CATALOG).read_text(encoding="utf-8")
    assert catalog_findings(text) == []
    for old, new, finding in (
        ("=postgresql\n", "=mysql\n", "another connector"),
        ("verify-full", "disable", "the server is not verified"),
        ("headrace_reader", "postgres", "more than reading"),
        ("${ENV:HEADRACE_READER_PASSWORD}", "secret", "a password in the file"),
        ("connection-user", "connection-name", "unknown property connection-name"),
    ):
        assert old in text
        assert finding in catalog_findings(text.replace(old, new))
