"""Analysts build on dwh with dbt, by the sources file that the warehouse writes; with real dbt, installed apart."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support import Database, Flow

LOCK = ROOT / "bench" / "dbt.lock"
PROJECT = """
name: shop
version: 1.0.0
profile: warehouse
flags: {send_anonymous_usage_stats: false}
"""
MODEL = """
{{ config(materialized='table') }}
select c.country, sum(f.qty) as units
from {{ source('dwh', 'fact_sales') }} f
join {{ source('dwh', 'dim_customer') }} c using (customer_key)
group by 1
"""


@pytest.fixture(scope="session")
def dbt() -> Path:
    """Return dbt, installed from its lock file beside our own environment; the next test run finds it there."""
    home = Path(sys.prefix).parent / "dbt"
    stamp = home / "headrace.stamp"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            pip: list[str] = [
                str(home / "bin/python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
            ]
            subprocess.run(
                [*pip, "--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirement", str(LOCK)],
                check=True,
            )
            stamp.write_text(wanted)
    return home / "bin/dbt"


def project(directory: Path, warehouse: Database) -> None:
    """Write a project whose sources are what the warehouse says, and whose role only reads dwh."""
    server = warehouse.server
    profile = {
        "type": "postgres", "host": server.host, "port": server.port, "dbname": warehouse.name, "schema": "analytics",
        "user": "headrace_reader", "password": server.passwords["headrace_reader"], "threads": 1,
    }  # fmt: skip
    (directory / "models").mkdir()
    (directory / "dbt_project.yml").write_text(PROJECT)
    profiles = {"warehouse": {"target": "it", "outputs": {"it": profile}}}
    (directory / "profiles.yml").write_text(json.dumps(profiles))  # JSON is YAML
    (directory / "models/units.sql").write_text(MODEL)
    (directory / "models/sources.yml").write_text(warehouse.value("select etl.dbt_sources()"))


def call(dbt: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dbt in a project."""
    return subprocess.run(
        [dbt, "--no-use-colors", "--warn-error", *arguments, "--profiles-dir", "."],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_model_is_built_on_the_sources_file(sales: Flow, dbt: Path, tmp_path: Path) -> None:
    """It parses without a warning, documentation arrives, fresh passes, old fails, and the model is right."""
    warehouse = sales.warehouse
    sales.seed()
    sales.run()
    odd = "Braces {{ and {% are text; so are 'quotes', \"these\", a: colon and # hash."
    warehouse.connection.execute("comment on table dwh.dim_date is $$" + odd + "$$")
    warehouse.execute("create schema analytics authorization headrace_reader")
    project(tmp_path, warehouse)

    parsed = call(dbt, tmp_path, "parse")
    assert parsed.returncode == 0, parsed.stdout
    sources = json.loads((tmp_path / "target/manifest.json").read_text())["sources"]
    tables = {source["name"]: source for source in sources.values()}
    assert tables["dim_date"]["description"] == odd.replace("{{", "{ {").replace("{%", "{ %")
    comments = "select obj_description('dwh.fact_sales'::regclass), col_description('dwh.fact_sales'::regclass, 1)"
    columns = tables["fact_sales"]["columns"]
    assert (tables["fact_sales"]["description"], columns["sale_key"]["description"]) == warehouse.row(comments)
    assert columns["captured_on"]["data_type"] == "date"
    relations = warehouse.query(
        "select relname from pg_catalog.pg_class where relnamespace = 'dwh'::regnamespace"
        " and relkind in ('r', 'p', 'v') and not relispartition"
    )
    assert set(tables) == {name for (name,) in relations}

    fresh = call(dbt, tmp_path, "source", "freshness")
    assert fresh.returncode == 0, fresh.stdout
    results = json.loads((tmp_path / "target/sources.json").read_text())["results"]
    assert {(result["unique_id"].rpartition(".")[2], result["status"]) for result in results} == {
        (table, "pass") for table in ("dim_customer", "dim_product", "fact_sales", "sales_by_day")
    }

    built = call(dbt, tmp_path, "run")
    assert built.returncode == 0, built.stdout
    by_hand = (
        "select c.country, sum(f.qty) from dwh.fact_sales f join dwh.dim_customer c using (customer_key) group by 1"
    )
    assert sorted(warehouse.query("select * from analytics.units"), key=str) == sorted(
        warehouse.query(by_hand), key=str
    )

    warehouse.execute("update etl.batch set captured_at = captured_at - interval '2 hours'")
    stale = call(dbt, tmp_path, "source", "freshness")
    assert stale.returncode != 0
    assert "ERROR STALE" in stale.stdout


def test_the_limits_and_the_schemas_can_be_chosen(sales: Flow) -> None:
    """A mirror has the freshness of its pipeline; quotes and other letters in names and comments stay what they are."""
    text = sales.warehouse.value("select etl.dbt_sources('{mrr}', warn_after => '1 hour', error_after => '90 seconds')")
    assert 'name: "mrr"' in text
    assert '- name: "customers"' in text
    assert "warn_after: {count: 60, period: minute}" in text
    assert "error_after: {count: 2, period: minute}" in text
    assert "where pipeline = 'sales'" in text
    assert 'name: "dwh"' not in text
