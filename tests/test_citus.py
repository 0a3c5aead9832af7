"""On a cluster of Citus the same procedures do the same: the tests of the pipeline run there too, and some of its own.

They run where ``HEADRACE_CITUS_DSN`` is the URL of a superuser on the coordinator of a cluster that is there for tests:
databases are made on every node, and dropped. docs/scale.md says what it has to be.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import pytest
from alembic import command

from tests import (
    test_checks,
    test_facts,
    test_log_capture,
    test_model,
    test_model_log,
    test_model_schemas,
    test_reconcile,
    test_scd2,
    test_set_capture,
    test_types,
    test_watermark,
)
from tests.conftest import alembic, database, login
from tests.support import TEXT_FORM, Database, Flow, Server

DSN = os.environ.get("HEADRACE_CITUS_DSN", "")
SHARED = (
    test_checks,
    test_facts,
    test_log_capture,
    test_model,
    test_model_log,
    test_model_schemas,
    test_reconcile,
    test_scd2,
    test_set_capture,
    test_types,
    test_watermark,
)
LEFT_OUT = {"test_clone_leaves_its_origin_alone"}  # PostgreSQL clones one node's database, which is no warehouse
OWNER = """
do $$ begin
  set local citus.enable_ddl_propagation = off;
  if to_regrole('headrace_owner') is null then create role headrace_owner; end if;
  alter role headrace_owner login;
end $$
"""
RIGHTS = """
set citus.enable_ddl_propagation = off;
grant connect, create, temporary on database {0} to headrace_owner;
grant connect on database {0} to headrace_runner, headrace_monitor, headrace_reader
"""
NAME = f"wh_citus_{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')}"
_numbers = itertools.count(1)

pytestmark = pytest.mark.skipif(not DSN, reason="HEADRACE_CITUS_DSN names no cluster")

if DSN:
    for module in SHARED:
        for name, member in vars(module).items():
            if name.startswith("test_") and callable(member) and name not in LEFT_OUT:
                globals()[f"{name}__{module.__name__.rpartition('.')[2]}"] = member
            elif type(member).__name__ == "FixtureFunctionDefinition":
                globals()[name] = member


@pytest.fixture(scope="session")
def warehouse_server() -> Server:
    """Return the coordinator."""
    server = Server.from_dsn(DSN)
    if not server.database("postgres").query("select from pg_available_extensions where name = 'citus'"):
        pytest.fail("the server that HEADRACE_CITUS_DSN names has no Citus")
    return server


@pytest.fixture(scope="session")
def workers(warehouse_server: Server) -> list[Server]:
    """Return the workers: those of the database that the DSN names."""
    cluster = warehouse_server.database(DSN.rpartition("/")[2])
    nodes = cluster.query("select nodename, nodeport from pg_dist_node where groupid <> 0 and isactive order by 2")
    assert nodes, "the cluster that HEADRACE_CITUS_DSN names has no worker"
    return [replace(warehouse_server, host=host, port=port) for host, port in nodes]


@contextmanager
def everywhere(nodes: list[Server], name: str, **options: object) -> Iterator[Database]:
    """Make a database on every node, and drop it at the end."""
    with ExitStack() as stack:
        first, *_ = [stack.enter_context(database(node, name, **options)) for node in nodes]  # type: ignore[arg-type]
        yield first


@pytest.fixture(scope="session")
def warehouse_template(warehouse_server: Server, workers: list[Server]) -> Iterator[Database]:
    """Deploy a warehouse on the cluster; its databases are templates."""
    nodes = [warehouse_server, *workers]
    with everywhere(nodes, NAME) as template:
        for node in nodes:
            handle = node.database(template.name)
            handle.execute("create extension citus")
            handle.execute(OWNER)
            handle.close()
        template.execute(f"select citus_set_coordinator_host('{warehouse_server.host}', {warehouse_server.port})")
        for worker in workers:
            template.execute(f"select citus_add_node('{worker.host}', {worker.port})")
        template.close()
        alembic(template.dsn, command.upgrade, "head")
        login(warehouse_server, "headrace_runner", "headrace_monitor", "headrace_reader")
        for node in nodes:  # Citus's maintenance daemon comes back by itself, and would be in the way of the next clone
            admin = node.database("postgres")
            admin.execute(f"alter database {template.name} allow_connections false")
            admin.close()
        yield template


@pytest.fixture(scope="session")
def cloned_warehouse(
    warehouse_template: Database, workers: list[Server]
) -> Callable[[], AbstractContextManager[Database]]:
    """Return a function that clones the warehouse, node by node."""

    @contextmanager
    def clone() -> Iterator[Database]:
        nodes = [warehouse_template.server, *workers]
        for node in nodes:
            admin = node.database("postgres")
            admin.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = %s",
                [warehouse_template.name],
            )
            admin.close()
        with everywhere(nodes, f"{NAME}_{next(_numbers)}", template=warehouse_template.name) as warehouse:
            for node in workers:
                handle = node.database(warehouse.name)
                handle.execute(RIGHTS.format(warehouse.name).rpartition(";")[0])
                for setting in TEXT_FORM.replace("-c ", "").split():  # of the tests' own questions, not of the owner's
                    handle.execute(f"alter role {node.user} in database {warehouse.name} set {setting}")
                handle.close()
            warehouse.execute(f"{RIGHTS}; revoke all on database {{0}} from public".format(warehouse.name))
            warehouse.close()  # and with it what it set
            yield warehouse

    return clone


def layout(warehouse: Database) -> dict[str, tuple[str, str | None]]:
    """Return what Citus says of where tables live."""
    rows = warehouse.query(
        "select logicalrelid::text,"
        " case when partmethod = 'h' then 'distributed' when repmodel = 't' then 'reference' end,"
        " case when partmethod = 'h' then column_to_column_name(logicalrelid, partkey) end"
        " from pg_dist_partition where not logicalrelid in (select inhrelid from pg_inherits)"
    )
    return {relation: (kind, column) for relation, kind, column in rows}


def test_tables_live_where_the_layout_says(sales: Flow) -> None:
    warehouse = sales.warehouse
    assert layout(warehouse) == {
        "dwh.fact_sales": ("distributed", "customer_id"),
        "dwh.dim_customer": ("reference", None),
        "dwh.dim_product": ("reference", None),
        "dwh.dim_date": ("reference", None),
        "mrr.customers": ("distributed", "id"),
        "mrr.products": ("distributed", "id"),
        "mrr.sales": ("distributed", "_hr_id"),
    }


def test_a_table_moves_when_the_layout_changes(sales: Flow) -> None:
    """With its rows, by one call; the next call does nothing; the pipeline goes on."""
    warehouse = sales.warehouse
    sales.seed()
    sales.run()
    warehouse.execute(
        "update etl.layout set kind = 'local', distribution_column = null where relation = 'mrr.products'"
    )
    warehouse.execute("call etl.apply_layout()")
    moved = layout(warehouse)
    assert "mrr.products" not in moved
    placements = "select shardid, nodename, nodeport from pg_dist_shard_placement order by 1, 2, 3"
    before = warehouse.query(placements)
    warehouse.execute("call etl.apply_layout()")
    assert warehouse.query(placements) == before
    sales.operational.execute(
        "update public.products set name = 'Adze' where id = 2; insert into public.sales values (2, 2, 4)"
    )
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()
