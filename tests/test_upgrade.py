"""A warehouse that an earlier state of this project filled is upgraded by this one: data and history stay, runs go on.

Earlier states are the releases, by their tags, and the last state without backups, which was before any release.
``HEADRACE_UPGRADE_FROM`` names another commit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture import add_log_table, may_replicate
from tests.conftest import ROOT, SAMPLE, register, unschedule
from tests.support import Database, Flow

FIRST = "migrations/versions/0006_backup.py"
HISTORY = {  # what was there before must be there after, row by row
    "etl.run_log": "run_id, pipeline, action, status, started_at, finished_at",
    "etl.step_log": "step_log_id, run_id, step, status, rows_read",
    "etl.batch": "batch_id, pipeline, captured_at, published_at",
    "dwh.dim_customer": "customer_key, customer_id, name, country, valid_from, valid_to, is_inferred",
    "dwh.fact_sales": "sale_key, customer_id, product_id, customer_key, product_key, qty, captured_at, batch_id",
    "dwh.sales_by_day": "captured_on, country, product_key, lines, units",
    "stg.quarantine": "quarantine_id, mirror, reason, row_data, batch_id",
}


def git(*words: str) -> str:
    """Return what git says, empty where it fails: a checkout may be without its history."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def earlier() -> list[str]:
    """Return the states to upgrade from."""
    if named := os.environ.get("HEADRACE_UPGRADE_FROM"):
        return [named]
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", FIRST)
    before = git("rev-parse", "--verify", "--quiet", f"{added}^") if added else ""
    return [*git("tag", "--list", "v*").split(), *([before] if before else [])]


@pytest.mark.parametrize("commit", earlier() or [""], ids=lambda commit: commit[:12] or "none")
def test_upgrade_keeps_data_and_history(commit: str, operational: Database, blank: Database, tmp_path: Path) -> None:
    """Mirrors, facts, quarantine and log are what they were, and what came meanwhile arrives by the new procedures."""
    if not commit:
        pytest.skip("this checkout has no history to upgrade from")
    flow = filled(commit, operational, blank, tmp_path)
    before, dated = history(flow), [row for row in facts(flow) if not row.startswith("(2,3,7,")]
    operational.execute(
        "insert into public.sales values (2, 1, 5), (1, 1, 2), (7, 7, 7); delete from public.sales where qty = 7;"
        "update public.customers set country = 'FR' where id = 1; update public.by_log set name = 'b' where id = 1;"
        "delete from public.in_full where id = 1; insert into public.by_mark values (3, 30)"
    )
    deploy(ROOT, blank)
    assert history(flow) == before
    flow.run("sales")
    flow.run("other")
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    for table in ("by_log", "in_full", "by_mark"):
        flow.assert_mirror_equals_source(f"public.{table}")
    for target in ("mrr.sales", "dwh.dim_customer", "dwh.fact_sales"):
        blank.execute("call etl.rebuild(%s)", [target])
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    assert [row for row in facts(flow) if row in set(dated)] == dated, "a rebuild has dated facts anew"


def filled(commit: str, operational: Database, warehouse: Database, place: Path) -> Flow:
    """Deploy an earlier state, register tables of every mode and run; rows are in quarantine, and a batch waits."""
    archive = place / "earlier.tar"
    parts = ("alembic.ini", "db", "migrations", "procedures", "jobs")
    subprocess.run(["git", "-C", ROOT, "archive", f"--output={archive}", commit, "--", *parts], check=True)
    subprocess.run(["tar", "-xf", archive, "-C", place], check=True)
    deploy(place, warehouse)
    may_replicate(operational)
    flow = register(operational, warehouse)
    for table in SAMPLE:
        add_log_table(flow, table, "sales")
    operational.execute("create table public.by_log (id int primary key, name text)")
    operational.execute("create table public.in_full (id int)")
    operational.execute("create table public.by_mark (id int primary key, at bigint)")
    add_log_table(flow, "public.by_log", "other")
    flow.add_table("public.in_full", "other")
    flow.add_table("public.by_mark", "other", capture="watermark", watermark="at")
    flow.seed()
    operational.execute(
        "insert into public.by_log values (1, 'a'); insert into public.in_full values (1), (1), (2);"
        "insert into public.by_mark values (1, 10), (2, 20)"
    )
    flow.run("sales")
    flow.run("other")
    operational.execute("update public.customers set name = 'A.' where id = 1")
    operational.execute("insert into public.sales values (1, 1, 1)")
    flow.run("sales")
    operational.execute("insert into public.sales values (3, 3, 3), (3, 3, 0)")
    warehouse.execute("call mrr.capture('sales')")
    return flow


def deploy(tree: Path, warehouse: Database) -> None:
    """Run ``alembic upgrade head`` of a tree, and take away the jobs, which would run when a minute begins."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=tree, env={**os.environ, "WAREHOUSE_DSN": warehouse.dsn}, check=True, capture_output=True,
    )  # fmt: skip
    unschedule(warehouse.server, warehouse.name)


def history(flow: Flow) -> dict[str, list[str]]:
    """Return what must not change, row by row as text."""
    return {
        table: [text for (text,) in flow.warehouse.query(f"select row({columns})::text from {table} order by 1")]
        for table, columns in HISTORY.items()
    }


def facts(flow: Flow) -> list[str]:
    """Return the facts with the moment of their capture."""
    query = "select row(customer_id, product_id, qty, captured_at)::text from dwh.fact_sales order by 1"
    return [text for (text,) in flow.warehouse.query(query)]
