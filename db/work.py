"""What ``up``, ``demo``, ``status`` and ``env`` do once the virtual environment is there."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg

from db import deploy, machine, report
from db.deploy import connected, explain
from db.home import Choices, Home
from db.instance import Instance
from db.problem import Problem
from db.stage import Stage

CRON_PATIENCE = 75  # seconds; schedules of pg_cron before 1.5 have a minute's step
RECENT = timedelta(minutes=2)
CRON_RUN = """
    select r.run_id, r.status, clock_timestamp() - r.finished_at
    from etl.run_log r
    where r.pipeline = 'sales' and r.started_from = 'pg_cron' and r.status in ('succeeded', 'failed')
      and r.finished_at > clock_timestamp() - %s::interval
    order by r.run_id desc
    limit 1
"""


def pair(home: Home, choices: Choices) -> tuple[Instance, Instance]:
    """Return the two embedded instances, made or not."""
    return Instance("operational", home, choices.op_port), Instance("warehouse", home, choices.wh_port)


def warehouse_dsn(home: Home, choices: Choices) -> str:
    """Return the URL of the warehouse's administrator."""
    return choices.warehouse or pair(home, choices)[1].dsn()


def start(instance: Instance) -> None:
    """Start an embedded instance and say where it is."""
    servers = machine.installed()
    with Stage(f"{instance.name} instance") as stage:
        version = instance.server(servers).version
        running = instance.running_port() == instance.port
        instance.start(servers)
        stage.note = f"PostgreSQL {version}, port {instance.port}{', was running' if running else ''}"


def bring_up(home: Home, choices: Choices, rows: int = 0, seed: int = 1) -> None:
    """Start and deploy everything that is not there yet.

    Args:
        home: where all is kept.
        choices: ports, and the user's own servers.
        rows: sales to make in an empty embedded operational database.
        seed: makes them repeatable.

    Raises:
        Problem: it could not be done; what was done stays.
    """
    if choices.source:
        choices.source = deploy.resolve(choices.source, "the source", deploy.OLDEST_SOURCE)
    if choices.warehouse:
        choices.warehouse = deploy.resolve(choices.warehouse, "the warehouse", deploy.OLDEST_WAREHOUSE)
    machine.forget_libpq_environment()
    operational, warehouse = pair(home, choices)
    for instance, own in ((operational, choices.source), (warehouse, choices.warehouse)):
        if not own:
            start(instance)
    home.keep(replace(home.choices(), op_port=choices.op_port, wh_port=choices.wh_port))
    dsn = warehouse_dsn(home, choices)
    source = choices.source
    if not source:
        with Stage("operational database") as stage:
            deploy.make_operational(operational.dsn())
            stage.note = fill(operational.dsn(), rows, seed)
            source = deploy.make_source_role(home, operational.dsn())
    with Stage("deployment of the warehouse"):
        deploy.deploy(dsn)
        deploy.give_reader_password(home, dsn, embedded=not choices.warehouse)
    with Stage("source and its tables") as stage:
        stage.note = ", ".join(deploy.register(dsn, source)) or "none of the sample's tables is there"
    home.keep(choices)
    if not choices.source:
        deploy.schedule_selling(operational.dsn())


def fill(dsn: str, rows: int, seed: int) -> str:
    """Make sample data in an empty operational database; leave any other as it is."""
    with connected(dsn, "the operational instance") as connection:
        empty = connection.execute("select not exists (select from public.sales)").fetchone() == (True,)
        if empty and rows:
            try:
                connection.execute("call public.generate(rows => %s, seed => %s)", [rows, seed])
            except psycopg.Error as error:
                raise explain(error, "sample data") from None
            connection.execute("analyze")
        found = connection.execute("select count(*) from public.sales").fetchone()
    return f"{report.as_text(found[0] if found else 0)} sales{'' if empty else ', as they were'}"


def up(home: Home, choices: Choices) -> int:
    """Start and deploy."""
    bring_up(home, choices)
    print("\nUp. What runs:  python3 bootstrap.py status     A shell's variables:  python3 bootstrap.py env")
    if choices.source:
        print("Another table:  call etl.add_table('op', 'public.orders')  in  python3 bootstrap.py psql warehouse")
    return 0


def demo(home: Home, choices: Choices, rows: int, seed: int, started: float) -> int:
    """Bring everything up with sample data, run the pipeline, wait for pg_cron to run it, and show what came of it."""
    bring_up(home, choices, rows, seed)
    with connected(warehouse_dsn(home, choices), "the warehouse") as connection:
        with Stage("call etl.run('sales')") as stage:
            try:
                connection.execute("call etl.run('sales')")
            except psycopg.Error as error:
                raise explain(error, "the run failed") from None
            stage.note = last_run(connection)
        with Stage("a run that pg_cron started") as stage:
            stage.note = cron_run(connection)
        report.show_demo(connection)
    print(
        f"\nDone in {time.monotonic() - started:.0f} s. Three to try next:\n"
        "  python3 bootstrap.py psql warehouse      then: select * from etl.status;\n"
        "  python3 bootstrap.py psql op             then: update customers set country = 'Chile' where id = 1;\n"
        "  python3 bootstrap.py status              a minute later: what that did"
    )
    return 0


def last_run(connection: psycopg.Connection) -> str:
    """Say what the newest run of the sample pipeline did."""
    _, runs = report.rows(connection, report.LAST_RUNS)
    if not runs:
        return "no run was logged"
    changes = report.as_text(runs[0][8] or 0)
    return f"run {runs[0][0]} {runs[0][3]}, {changes} changes"


def cron_run(connection: psycopg.Connection) -> str:
    """Wait for a run that pg_cron started, or take one that has just been.

    Raises:
        Problem: there was none.
    """
    deadline = time.monotonic() + CRON_PATIENCE
    while time.monotonic() < deadline:
        if found := connection.execute(CRON_RUN, [RECENT]).fetchone():
            run_id, outcome, ago = found
            return f"run {run_id} {outcome}, {report.as_text(ago)} ago"
        time.sleep(0.25)
    raise Problem(
        f"pg_cron started no run of the pipeline sales within {CRON_PATIENCE} s",
        "See  select * from etl.status  and  select * from cron.job  in  python3 bootstrap.py psql warehouse",
    )


def env(home: Home) -> int:
    """Print a shell's variables."""
    choices = home.choices()
    dsn = warehouse_dsn(home, choices)
    variables = {
        "OP_DSN": choices.source or pair(home, choices)[0].dsn(),
        "WAREHOUSE_DSN": dsn,
        "READER_DSN": deploy.reader_dsn(home, dsn, embedded=not choices.warehouse),
    }
    print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
    return 0


def status(home: Home, as_json: bool) -> int:
    """Show instances, pipelines, last runs and errors; 3 if something does not run or is not deployed."""
    machine.forget_libpq_environment()
    choices = home.choices()
    instances: list[dict[str, Any]] = []
    for instance, own in zip(pair(home, choices), (choices.source, choices.warehouse), strict=True):
        running = bool(own and deploy.accepts(own)) or (not own and instance.running_port() is not None)
        where = "your own server" if own else str(instance.directory)
        port = instance.running_port() or instance.port
        place = psycopg.conninfo.conninfo_to_dict(own or f"host=127.0.0.1 port={port} dbname={instance.name}")
        instances.append({
            "instance": instance.name,
            "state": "running" if running else "stopped" if not own else "unreachable",
            "address": f"{place['host']}:{place['port']}/{place['dbname']}",
            "kept in": where,
        })  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {"instances": instances}
    missing = ""
    if any(row["state"] == "stopped" for row in instances):
        missing = "\nTo start what is stopped:  python3 bootstrap.py up"
    if instances[1]["state"] == "running":
        with connected(warehouse_dsn(home, choices), "the warehouse") as connection:
            try:
                found |= report.status(connection)
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                missing = "\nThe warehouse is not deployed:  python3 bootstrap.py up"
    if as_json:
        print(json.dumps(found, indent=2, default=str))
    else:
        report.show_status(found)
        print(missing, end="\n" if missing else "")
    return 0 if not missing and all(row["state"] == "running" for row in instances) else 3
