"""Servers and fixtures: each test gets databases of its own, cloned from templates made once per session.

The two servers come from ``python3 bootstrap.py test``, which passes the URLs of their superusers on in
``HEADRACE_TEST_SERVERS``, a pair for each worker. Cloning goes through pytest-postgresql's janitor.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql
from pytest_postgresql.janitor import DatabaseJanitor

from tests.psql import psql
from tests.support import Database, Flow, Server

ROOT = Path(__file__).resolve().parent.parent
SERVERS = "HEADRACE_TEST_SERVERS"
CRON_DATABASE = "warehouse"
SOURCE_ROLE = "headrace_source"
SAMPLE = ("public.customers", "public.products", "public.sales")

_numbers = itertools.count(1)


def pytest_configure() -> None:
    """End with one clear line where there are no servers to test on; else work in the home of this worker's pair."""
    if SERVERS not in os.environ:
        raise pytest.UsageError(f"{SERVERS} is not set: run the tests with  python3 bootstrap.py test")
    os.environ["HEADRACE_HOME"] = pair()["home"]


def pair() -> dict[str, str]:
    """Return the home and the superusers' URLs of the two servers that are this worker's own."""
    pairs: list[dict[str, str]] = json.loads(os.environ[SERVERS])
    return pairs[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))]


def alembic(dsn: str, verb: Callable[[Config, str], object], revision: str) -> None:
    """Run one of Alembic's commands on a warehouse."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAREHOUSE_DSN", dsn)
        verb(Config(ROOT / "alembic.ini"), revision)


@contextmanager
def database(
    server: Server, name: str, *, template: str = "template0", as_template: bool = False
) -> Iterator[Database]:
    """Create a database, and drop it at the end with whoever is still connected."""
    janitor = DatabaseJanitor(
        user=server.user,
        host=server.host,
        port=server.port,
        password=server.password,
        dbname=name,
        template_dbname=template,
        as_template=as_template,
    )
    janitor.drop()
    with janitor:
        handle = server.database(name)
        yield handle
        handle.close()
        drop_slots(server, name)


def drop_slots(server: Server, name: str) -> None:
    """Drop a database's replication slots, which would keep it, and end whoever still reads them."""
    admin = server.database("postgres")
    found = "from pg_catalog.pg_replication_slots where database = %s"
    admin.execute(f"select pg_terminate_backend(active_pid, 10000) {found} and active", [name])
    admin.execute(f"select pg_drop_replication_slot(slot_name) {found}", [name])
    admin.close()


def login(server: Server, *roles: str) -> None:
    """Give login roles a password of this session."""
    admin = server.database("postgres")
    for role in roles:
        server.passwords[role] = secrets.token_urlsafe(12)
        if not admin.query("select from pg_catalog.pg_roles where rolname = %s", [role]):
            admin.connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        admin.connection.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(server.passwords[role]))
        )
    admin.close()


@pytest.fixture(scope="session")
def operational_server() -> Server:
    """Return the server of the operational databases."""
    server = Server.from_dsn(pair()["operational"])
    login(server, SOURCE_ROLE)
    return server


@pytest.fixture(scope="session")
def warehouse_server() -> Server:
    """Return the server of the warehouses; it runs pg_cron, whose database is ``warehouse``."""
    return Server.from_dsn(pair()["warehouse"])


@pytest.fixture(scope="session")
def operational_template(operational_server: Server) -> Iterator[Database]:
    """Make the sample operational database, empty; the source role can read it, and tables to come."""
    with database(operational_server, "op_template", as_template=True) as template:
        folder = ROOT / "db" / "operational"
        for file in (folder / "schema.sql", *sorted(folder.glob("*.sql"))):
            template.execute(file.read_text(encoding="utf-8"))
        granted = psql(template, "-f", str(ROOT / "db" / "source.sql"))
        assert granted.returncode == 0, granted.stderr
        template.execute(f"alter default privileges in schema public grant select on tables to {SOURCE_ROLE}")
        template.close()
        yield template


@pytest.fixture(scope="session")
def warehouse_template(warehouse_server: Server) -> Iterator[Database]:
    """Deploy a warehouse with ``alembic upgrade head``; its jobs are taken away, since it is only cloned."""
    with database(warehouse_server, "wh_template", as_template=True) as template:
        alembic(template.dsn, command.upgrade, "head")
        login(warehouse_server, "headrace_runner", "headrace_monitor", "headrace_reader")
        unschedule(warehouse_server, template.name)
        yield template


def unschedule(server: Server, name: str, cron_database: str = CRON_DATABASE) -> None:
    """Take away the jobs that a database has with the server's pg_cron."""
    cron = server.database(cron_database)
    if cron.query("select from pg_catalog.pg_extension where extname = 'pg_cron'"):
        cron.execute("select cron.unschedule(jobid) from cron.job where database = %s", [name])
    cron.close()


@pytest.fixture(scope="session")
def cloned_operational(operational_template: Database) -> Callable[[], AbstractContextManager[Database]]:
    """Return a function that clones the operational database, for tests that need several."""
    return lambda: database(operational_template.server, f"op_{next(_numbers)}", template=operational_template.name)


@pytest.fixture(scope="session")
def cloned_warehouse(warehouse_template: Database) -> Callable[[], AbstractContextManager[Database]]:
    """Return a function that clones the warehouse, for tests that need several."""

    @contextmanager
    def clone() -> Iterator[Database]:
        with database(warehouse_template.server, f"wh_{next(_numbers)}", template=warehouse_template.name) as warehouse:
            # CREATE DATABASE leaves the template's rights on the database itself behind
            warehouse.execute(
                f"revoke all on database {warehouse.name} from public;"
                f" grant create, temporary on database {warehouse.name} to headrace_owner;"
                f" grant connect on database {warehouse.name} to headrace_runner, headrace_monitor, headrace_reader"
            )
            yield warehouse

    return clone


@pytest.fixture
def operational(cloned_operational: Callable[[], AbstractContextManager[Database]]) -> Iterator[Database]:
    """Yield an operational database of the test's own: the three tables, empty."""
    with cloned_operational() as handle:
        yield handle


@pytest.fixture
def warehouse(cloned_warehouse: Callable[[], AbstractContextManager[Database]]) -> Iterator[Database]:
    """Yield a deployed warehouse of the test's own, without a source."""
    with cloned_warehouse() as handle:
        yield handle


@pytest.fixture
def blank(warehouse_server: Server) -> Iterator[Database]:
    """Yield an empty database on the warehouse's server, to deploy to; its jobs are taken away afterwards."""
    with database(warehouse_server, f"blank_{next(_numbers)}") as handle:
        yield handle
        unschedule(warehouse_server, handle.name)


def register(operational: Database, warehouse: Database, *tables: str) -> Flow:
    """Register the operational database as source ``op``, and tables of it in pipeline ``sales``."""
    server = operational.server
    warehouse.execute(
        "call etl.add_source('op', jsonb_build_object('host', %s::text, 'port', %s::text, 'dbname', %s::text), %s, %s)",
        [server.host, str(server.port), operational.name, SOURCE_ROLE, server.passwords[SOURCE_ROLE]],
    )
    flow = Flow(operational, warehouse)
    for table in tables:
        flow.add_table(table, "sales")
    return flow


@pytest.fixture
def source(operational: Database, warehouse: Database) -> Flow:
    """Return a warehouse whose source ``op`` is registered, without a table."""
    return register(operational, warehouse)


@pytest.fixture
def sales(operational: Database, warehouse: Database) -> Flow:
    """Return a warehouse with the three tables of the sample in pipeline ``sales``, not yet run."""
    return register(operational, warehouse, *SAMPLE)


@pytest.fixture
def cron_warehouse(warehouse_server: Server, operational: Database) -> Iterator[Flow]:
    """Yield the one warehouse that pg_cron lives in, deployed with its jobs; taken away again afterwards."""
    warehouse = warehouse_server.database(CRON_DATABASE)
    warehouse.execute("create extension if not exists pg_cron")
    alembic(warehouse.dsn, command.upgrade, "head")
    login(warehouse_server, "headrace_runner", "headrace_monitor", "headrace_reader")
    yield register(operational, warehouse, *SAMPLE)
    warehouse.execute("select cron.unschedule(jobid) from cron.job")
    warehouse.close()
    alembic(warehouse.dsn, command.downgrade, "base")
