"""etl.metrics: figures in Prometheus' form, right, cheap, and for the monitor alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest

from db.instance import free_port
from tests.faults import fails, set_source
from tests.support import Flow, locked, raises, wait_until, waiting_for_lock

EXPORTER = "prometheus-postgres-exporter"
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
    assert metric(sales, "runs_logged", status="succeeded") == 1
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
    assert metric(sales, "errors_logged", sqlstate_class="08") == 2
    assert metric(sales, "runs_logged", status="failed") == 2
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


# ----------------------------------------------------------------------------------------------------------------------
# db/monitoring
# ----------------------------------------------------------------------------------------------------------------------
def exported(flow: Flow) -> list[tuple[str, dict[str, str], float]]:
    """Run the exporter's queries as the monitor, and return what it makes of them: name, labels, value."""
    text = (MONITORING / "postgres_exporter.yaml").read_text(encoding="utf-8")
    series = []
    with flow.warehouse.connect("headrace_monitor") as monitor:
        for key, query, columns in re.findall(
            r"^(\w+):\n  query: \|\n((?:    .*\n)+)  metrics:\n((?:    .*\n)+)", text, re.M
        ):
            usage = dict(
                re.findall(r'^    - (\w+):\n        usage: "(\w+)"\n        description: "[^"]+"$', columns, re.M)
            )
            cursor = monitor.execute(query)
            assert [column.name for column in cursor.description or ()] == list(usage)
            for row in cursor.fetchall():
                values = dict(zip(usage, row, strict=True))
                labels = {name: value for name, value in values.items() if usage[name] == "LABEL"}
                series += [
                    (f"{key}_{name}", labels, value)
                    for name, value in values.items()
                    if usage[name] == "GAUGE" and value is not None
                ]
    return series


@pytest.fixture
def measured(sales: Flow) -> Flow:
    """Return the sample with something to see in every metric of a pipeline that has no slot."""
    sales.seed()
    sales.warehouse.execute("call etl.add_check('sales', 'one', 'warn', 'select 1')")
    sales.run()
    sales.operational.execute("revoke select on public.sales from headrace_source")
    with raises("42501"):
        sales.run()
    sales.operational.execute("grant select on public.sales to headrace_source")
    sales.warehouse.execute(
        "insert into etl.reconciliation (run_id, mirror, rows_source, rows_mirror, buckets_different, rows_different)"
        " values (1, 'sales', 2, 1, 1, 1)"
    )
    sales.warehouse.execute("call etl.close_backup(etl.open_backup('logical', '/b', 'one'), 'succeeded', 'done', 7)")
    return sales


def test_exporter_has_all_of_it(measured: Flow) -> None:
    """The query file gives the exporter every metric under its own name and labels, as the monitor may read it."""

    def comparable(rows: list[tuple[str, dict[str, str], float]]) -> list[tuple[str, list[tuple[str, str]], float]]:
        stable = [row for row in rows if not row[0].endswith(("freshness_seconds", "slot_lag_seconds", "age_seconds"))]
        return sorted((name, sorted(labels.items()), value) for name, labels, value in stable)

    metrics = measured.warehouse.query("select name, labels, value from etl.metrics")
    assert {name for name, *_ in metrics} >= {
        "headrace_check_rows",
        "headrace_mirror_differences",
        "headrace_backup_bytes",
    }
    assert comparable(exported(measured)) == comparable([(name, labels, value) for name, labels, value in metrics])


@pytest.fixture
def exporter(tmp_path: Path) -> Path:
    """Return postgres_exporter; out of Debian's package, not installed, because that would leave a service behind."""
    if program := shutil.which(EXPORTER):
        return Path(program)
    if not shutil.which("apt-get"):
        pytest.skip(f"{EXPORTER} is not installed")
    done = subprocess.run(
        ["apt-get", "-q", "download", EXPORTER], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"apt-get does not get {EXPORTER}: {done.stderr.strip()}")
    (package,) = tmp_path.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    return tmp_path / "usr" / "bin" / EXPORTER


def test_exporter_itself(measured: Flow, exporter: Path) -> None:
    """Prometheus' own exporter reads the file and says what etl.metrics says."""
    port = free_port()
    running = subprocess.Popen(
        [
            str(exporter),
            f"--extend.query-path={MONITORING / 'postgres_exporter.yaml'}",
            "--disable-default-metrics",
            "--disable-settings-metrics",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        env={
            "DATA_SOURCE_NAME": measured.warehouse.dsn_of(
                "headrace_monitor", measured.warehouse.server.passwords["headrace_monitor"]
            )
            + "?sslmode=disable"
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        text = wait_until(lambda: scraped(port), what="the exporter's answer")
    finally:
        running.terminate()
        running.wait()
    for name, labels, value in exported(measured):
        if not name.endswith("_seconds"):
            (found,) = [
                line.rpartition(" ")[2]
                for line in text.splitlines()
                if line.startswith(name + "{") and all(f'{key}="{label}"' in line for key, label in labels.items())
            ]
            assert float(found) == value, name


def scraped(port: int) -> str:
    """Return what an exporter has to say; nothing while it starts or reads."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = str(answer.read().decode())
    except OSError:
        return ""
    return text if "headrace_check_rows" in text else ""


def test_server_writes_what_fluent_bit_expects(measured: Flow) -> None:
    """The server's JSON log has one object per line, with the time and the fields that the configuration names."""
    conf = (MONITORING / "fluent-bit.conf").read_text(encoding="utf-8")
    parser = (MONITORING / "fluent-bit-parsers.conf").read_text(encoding="utf-8")
    (time_key,) = re.findall(r"Time_Key +(\S+)", parser)
    (time_format,) = re.findall(r"Time_Format +(\S.*)", parser)
    ((field, pattern),) = re.findall(r"Regex +(\S+) +(\S+)", conf)
    (suffix,) = re.findall(r"Path +\$\{HEADRACE_LOG\}/\*(\.\w+)", conf)
    wh = measured.warehouse
    wh.execute("alter system set log_destination = 'jsonlog'")
    try:
        wh.execute("select pg_catalog.pg_reload_conf()")
        log = Path(wh.value("show data_directory"), wh.value("show log_directory"))
        file = wait_until(lambda: sorted(log.resolve().glob(f"*{suffix}")), what="the log file")[-1]
        measured.operational.execute("revoke select on public.sales from headrace_source")
        with raises("42501"):
            measured.run()
        lines = wait_until(
            lambda: [line for line in file.read_text().splitlines() if wh.name in line and "pipeline sales" in line],
            what="the failure in the log",
        )
    finally:
        wh.execute("alter system reset log_destination")
        wh.execute("select pg_catalog.pg_reload_conf()")
    entry = json.loads(lines[-1])
    assert re.fullmatch(pattern, entry[field])
    assert (entry["state_code"], entry["dbname"]) == ("42501", wh.name)
    assert datetime.strptime(entry[time_key], time_format.replace("%L", "%f"))
