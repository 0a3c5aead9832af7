"""etl.metrics: figures in Prometheus' form, right, cheap, and for the monitor alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults import fails, set_source
from tests.support import Flow, locked, raises, waiting_for_lock

MONITORING = Path(__file__).resolve().parent.parent / "db" / "monitoring"


def metric(flow: Flow, name: str, **labels: str) -> float | None:
    """Return the value of a metric of pipeline ``sales``, or of what the labels say."""
    rows = flow.warehouse.query(
        "select value from etl.metrics where name = %s and labels @> %s::text::jsonb",
        [
            f"headrace_{name}",
            "{" + ", ".join(f'"{k}": "{v}"' for k, v in (labels or {"pipeline": "sales"}).items()) + "}",
        ],
    )
    assert len(rows) <= 1, rows
    return rows[0][0] if rows else None


def test_before_the_first_run(sales: Flow) -> None:
    """What is unknown is left out, and what is nothing is 0."""
    assert metric(sales, "last_run_succeeded") is None
    assert metric(sales, "freshness_seconds") is None
    assert metric(sales, "pending_changes") == 0
    assert metric(sales, "running_seconds") == 0


def test_values(sales: Flow) -> None:
    """The figures follow what happens."""
    sales.seed()
    sales.warehouse.execute("call etl.add_check('sales', 'one', 'warn', 'select 1')")
    sales.run()
    assert metric(sales, "last_run_succeeded") == 1
    assert metric(sales, "quarantined_rows") == 6
    assert metric(sales, "logged_runs", status="succeeded") == 1
    assert metric(sales, "check_rows", check="one") == 1
    assert 0 <= (metric(sales, "freshness_seconds") or -1) < 60
    sales.operational.execute("insert into public.sales values (1, 1, 1), (1, 1, 1)")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert metric(sales, "pending_changes") == 2
    set_source(sales, port="1")
    fails(sales)
    fails(sales)
    assert metric(sales, "last_run_succeeded") == 0
    assert metric(sales, "failures_in_a_row") == 2
    assert metric(sales, "logged_errors", sqlstate_class="08") == 2
    assert metric(sales, "logged_runs", status="failed") == 2
    sales.warehouse.execute("call etl.pause('sales')")
    assert metric(sales, "paused") == 1


def test_running(sales: Flow) -> None:
    """A run at work shows for how long."""
    with locked(sales.operational, "public.sales"):
        run = sales.start()
        waiting_for_lock(sales.operational, "public.sales")
        assert (metric(sales, "running_seconds") or 0) > 0
    run.finish()
    assert metric(sales, "running_seconds") == 0


def test_form(sales: Flow) -> None:
    """Names, labels, kinds and helps are what Prometheus takes; a series comes once."""
    sales.seed()
    sales.run()
    sales.run()
    with sales.warehouse.connect("headrace_monitor") as monitor:
        rows = monitor.execute("select name, labels, value, kind, help from etl.metrics").fetchall()
    series = [(name, tuple(sorted(labels.items()))) for name, labels, *_ in rows]
    assert len(series) == len(set(series))
    for name, labels, value, kind, helps in rows:
        assert re.fullmatch(r"headrace_[a-z_]+", name)
        assert all(re.fullmatch(r"[a-z_]+", label) and isinstance(text, str) for label, text in labels.items())
        assert isinstance(value, float)
        assert kind == "gauge"
        assert helps
    assert len({name: (kind, helps) for name, _, _, kind, helps in rows}) == len({(n, k, h) for n, _, _, k, h in rows})


@pytest.mark.parametrize("role", ["headrace_reader", "headrace_runner"])
def test_not_for_others(sales: Flow, role: str) -> None:
    """Only the monitor reads the metrics."""
    with sales.warehouse.connect(role) as session, raises("42501"):
        session.execute("select * from etl.metrics")
