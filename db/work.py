"""What ``up``, ``demo``, ``status`` and ``env`` do once the virtual environment is there."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
from alembic import config

from db import deploy, machine, report
from db.deploy import connected, explain
from db.home import Choices, Home
from db.instance import Instance
from db.problem import Problem
from db.stage import Stage

CRON_PATIENCE = 75  # seconds; schedules of pg_cron before 1.5 have a minute's step
RECENT = timedelta(minutes=2)
PROGRESS = """
    select concat_ws(', ', concat_ws(' ', p.phase, p.step),
                     p.rows_done || coalesce(' of ' || p.rows_total, '') || ' rows', round(100 * p.share) || ' %')
    from etl.progress p
    where p.pipeline = 'sales'
"""
SALE = (1, 1, 12)  # customer, product, quantity; larger than a sale that the sample makes
ARRIVED = "select count(*) from dwh.sales_of_customer(%s) where product_id = %s and qty = %s"
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


def bring_up(home: Home, choices: Choices, rows: int = 0, seed: int = 1) -> list[str]:
    """Start and deploy everything that is not there yet.

    Args:
        home: where all is kept.
        choices: ports, and the user's own servers.
        rows: sales to make in an empty embedded operational database.
        seed: makes them repeatable.

    Returns:
        The sample's tables, if the source has them.

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
        for role in (deploy.READER, deploy.MONITOR):
            deploy.give_password(home, dsn, role, embedded=not choices.warehouse)
    with Stage("source and its tables") as stage:
        tables = deploy.register(dsn, source, None if choices.source else operational.dsn())
        stage.note = ", ".join(tables) or "no table: the sample's three are not there"
    home.keep(choices)
    if not choices.source:
        deploy.schedule_selling(operational.dsn())
    return tables


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
    """Bring everything up with sample data, run the pipeline, let pg_cron run it, and show what came of it.

    Raises:
        Problem: something of that did not happen.
    """
    if not bring_up(home, choices, rows, seed):
        raise Problem(
            "the demo needs the sample's tables, and the source does not have them",
            "Set another HEADRACE_HOME for the demo; python3 bootstrap.py status  shows this installation.",
        )
    shop = None if choices.source else pair(home, choices)[0].dsn()
    dsn = warehouse_dsn(home, choices)
    with connected(dsn, "the warehouse") as connection:
        with Stage("call etl.run('sales')") as stage:
            run_watched(dsn, connection, stage)
            stage.note = last_run(connection)
        with Stage("a run that pg_cron started") as stage:
            stage.note = cron_run(connection, shop)
        if shop:
            with Stage("a sale, from the shop into dwh.fact_sales") as stage:
                stage.note = travel(connection, shop)
        report.show_demo(connection)
    print(
        f"\nDone in {time.monotonic() - started:.0f} s. Three to try next:\n"
        "  python3 bootstrap.py psql warehouse      then: select * from etl.status;\n"
        "  python3 bootstrap.py psql op             then: update customers set country = 'Chile' where id = 1;\n"
        "  python3 bootstrap.py status              a few seconds later: what that did"
    )
    return 0


def run_watched(dsn: str, connection: psycopg.Connection, stage: Stage) -> None:
    """Run the sample pipeline and show how far it is, as a second session sees it.

    Raises:
        Problem: the run failed.
    """
    with connected(dsn, "the warehouse") as watcher, ThreadPoolExecutor(1) as worker:
        work = worker.submit(connection.execute, "call etl.run('sales')")
        try:
            while not wait([work], timeout=0.25).done:
                stage.tell("; ".join(text for (text,) in watcher.execute(PROGRESS).fetchall()))
            work.result()
        except psycopg.Error as error:
            raise explain(error, "the run failed") from None
        except BaseException:
            connection.cancel_safe()
            raise


def sell(shop: str, sale: tuple[int, int, int]) -> None:
    """Make a sale in the embedded operational database."""
    with connected(shop, "the operational instance") as connection:
        connection.execute("insert into public.sales values (%s, %s, %s)", sale)


def travel(connection: psycopg.Connection, shop: str) -> str:
    """Make a sale in the shop, wait until readers of the warehouse see it, and say how long that took.

    Raises:
        Problem: it did not arrive.
    """
    before = connection.execute(ARRIVED, SALE).fetchone()
    sell(shop, SALE)
    began = time.monotonic()
    while time.monotonic() - began < CRON_PATIENCE:
        if connection.execute(ARRIVED, SALE).fetchone() != before:
            return f"{time.monotonic() - began:.1f} s after its commit"
        time.sleep(0.1)
    raise Problem(
        f"a sale did not arrive in dwh.fact_sales within {CRON_PATIENCE} s",
        "See  select * from etl.status  in  python3 bootstrap.py psql warehouse",
    )


def last_run(connection: psycopg.Connection) -> str:
    """Say what the newest run of the sample pipeline did."""
    _, runs = report.rows(connection, report.LAST_RUNS)
    if not runs:
        return "no run was logged"
    changes = report.as_text(runs[0][8] or 0)
    return f"run {runs[0][0]} {runs[0][3]}, {changes} changes"


def cron_run(connection: psycopg.Connection, shop: str | None) -> str:
    """Wait for a run that pg_cron started, or take one that has just been.

    Args:
        connection: the warehouse's administrator.
        shop: URL of the embedded operational database, where a sale gives the run something to do.

    Raises:
        Problem: there was none.
    """
    deadline = time.monotonic() + CRON_PATIENCE
    while time.monotonic() < deadline:
        if found := connection.execute(CRON_RUN, [RECENT]).fetchone():
            run_id, outcome, ago = found
            return f"run {run_id} {outcome}, {report.as_text(ago)} ago"
        if shop:
            sell(shop, (1, 1, 1))
            shop = None
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
        "READER_DSN": deploy.login_dsn(home, dsn, deploy.READER, embedded=not choices.warehouse),
        "MONITOR_DSN": deploy.login_dsn(home, dsn, deploy.MONITOR, embedded=not choices.warehouse),
    }
    print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
    return 0


def alembic(home: Home, arguments: Sequence[str]) -> int:
    """Run one of Alembic's own commands on the warehouse."""
    os.environ["WAREHOUSE_DSN"] = warehouse_dsn(home, home.choices())
    machine.forget_libpq_environment()
    config.main(["-c", str(machine.ROOT / "alembic.ini"), *arguments], prog="bootstrap.py alembic")
    return 0


OTHER_SOURCES = (
    "MySQL, MariaDB, SQL Server, CSV files and the like are registered in the warehouse:\n"
    "  call etl.add_source('crm', fdw => 'mysql_fdw', …);   docs/how-to/other-sources.md says how"
)


def add_source(home: Home, choices: Choices, name: str, dsn: str) -> int:
    """Make another database known to the warehouse, or a known one at another address.

    Args:
        home: where all is kept.
        choices: ports, and the user's own servers.
        name: what the source is called in the warehouse.
        dsn: where it is; a password that nothing gives is asked for.

    Raises:
        Problem: it cannot be read, or the warehouse refuses it.
    """
    try:
        source = deploy.resolve(dsn, "the source", deploy.OLDEST_SOURCE)
    except deploy.NoDsn as problem:
        raise Problem(str(problem), f"{problem.way_out}\n{OTHER_SOURCES}") from None
    except deploy.NoPassword:
        if not sys.stdin.isatty():
            raise
        parameters = psycopg.conninfo.conninfo_to_dict(dsn)
        password = getpass.getpass(f"Password of {parameters.get('user', getpass.getuser())} at the source: ")
        dsn = psycopg.conninfo.make_conninfo(dsn, password=password)
        source = deploy.resolve(dsn, "the source", deploy.OLDEST_SOURCE)
    machine.forget_libpq_environment()
    with connected(warehouse_dsn(home, choices), "the warehouse") as connection:
        deploy.add_source(connection, name, source)
    if name == deploy.SOURCE:
        home.keep(replace(choices, source=source))
    print(
        f"Source {name} is registered. Its tables are added by\n"
        f"  call etl.add_table('{name}', 'public.orders');   in  python3 bootstrap.py psql warehouse"
    )
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
