"""On a cluster of Citus the same procedures do the same: the tests of the pipeline run there too, and some of its own.

They run where ``HEADRACE_CITUS_DSN`` is the URL of a superuser on the coordinator of a cluster that is there for tests:
databases are made on every node, and dropped. docs/scale.md says what it has to be.
"""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import replace

import psycopg
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
from tests.conftest import alembic, database, login, unschedule
from tests.faults import assert_all_arrived, errors, runs
from tests.support import TEXT_FORM, BackgroundRun, Database, Flow, Row, Server, raises, wait_until

DSN = os.environ.get("HEADRACE_CITUS_DSN", "")
CONTROL = os.environ.get("HEADRACE_CITUS_CONTROL", "")
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
        admin = warehouse_server.database("postgres")
        if cron_database := admin.value("select current_setting('cron.database_name', true)"):
            unschedule(warehouse_server, template.name, cron_database)
        admin.close()
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


# ----------------------------------------------------------------------------------------------------------------------
# Faults
# ----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def changed(sales: Flow) -> Flow:
    """Return the sample, loaded once, with changes that wait and go to every shard."""
    sales.seed()
    sales.run()
    sales.operational.execute(
        "insert into public.customers select n, 'Name ' || n, 'NO' from generate_series(100, 180) n;"
        " update public.products set groupname = 'New' where id = 1; delete from public.sales where qty = 7;"
        " insert into public.sales select n, 1 + n % 3, 2 from generate_series(100, 180) n"
    )
    return sales


def shards(flow: Flow, worker: Server, relation: str) -> list[str]:
    """Return the names of a table's shards on a worker."""
    return [
        name
        for (name,) in flow.warehouse.query(
            "select shard_name(s.logicalrelid, s.shardid) from pg_dist_shard s"
            " join pg_dist_shard_placement p on p.shardid = s.shardid"
            " where s.logicalrelid = %s::text::regclass and p.nodeport = %s",
            [relation, worker.port],
        )
    ]


def facts(flow: Flow) -> list[Row]:
    """Return what a reader sees of the facts."""
    return sorted(flow.warehouse.query("select customer_id, product_id, qty, batch_id from dwh.fact_sales"))


def control(verb: str, node: Server) -> None:
    """Stop a node as if it were killed, or start it."""
    subprocess.run([*shlex.split(CONTROL), verb, str(node.port)], check=True, timeout=60)


needs_control = pytest.mark.skipif(not CONTROL, reason="HEADRACE_CITUS_CONTROL tells not how to stop and start a node")


SETTLE = "select recover_prepared_transactions()"
PREPARED = "select transaction from pg_prepared_xacts where database = current_database()"
WAITING = (
    "select l.pid from pg_locks l join pg_database d on d.oid = l.database"
    " where not l.granted and d.datname = current_database()"
)


@pytest.mark.parametrize("is_stopped", [False, pytest.param(True, marks=needs_control)], ids=["session", "node"])
@pytest.mark.parametrize("relation", ["mrr.sales", "dwh.fact_sales"])
def test_a_worker_is_lost(changed: Flow, workers: list[Server], relation: str, is_stopped: bool) -> None:
    """In the middle of a change, its session or the whole of it: the run fails, is logged, and the next brings all."""
    before = facts(changed)
    worker = workers[-1]
    node = worker.database(changed.warehouse.name)
    with suppress(psycopg.OperationalError), node.connect(autocommit=False) as holder:
        holder.execute("set citus.enable_manual_changes_to_shards = on")
        holder.execute("lock table {} in share mode".format(", ".join(shards(changed, worker, relation))))
        run = changed.start()
        wait_until(lambda: node.query(WAITING), what="a change that waits on the worker")
        assert facts(changed) == before
        if is_stopped:
            control("stop", worker)
        else:
            node.execute(f"select pg_terminate_backend(pid, 10000) from ({WAITING}) w")
    with raises("08006" if is_stopped else "57P01"):
        run.finish()
    ((sqlstate, _, message),) = errors(changed)
    assert (sqlstate, str(worker.port) in message) == (("08006", True) if is_stopped else ("57P01", False))
    assert changed.last_run() == ("failed",)
    if is_stopped:
        with raises("08006", message=f"{worker.host}:{worker.port}"):
            changed.run(force=True)
        control("start", worker)
    assert facts(changed) == before
    changed.run(force=True)
    assert_all_arrived(changed)


@pytest.fixture
def unsettled(changed: Flow) -> Iterator[Flow]:
    """Yield the sample with changes that wait; what is prepared and left is not settled by itself."""
    wh = changed.warehouse
    for statement in ("alter system set citus.recover_2pc_interval = -1", "select pg_reload_conf()"):
        wh.execute(statement)
    yield changed
    for statement in ("alter system reset citus.recover_2pc_interval", "select pg_reload_conf()", SETTLE):
        wh.execute(statement)


@contextmanager
def unprepared(flow: Flow, worker: Server, relation: str) -> Iterator[BackgroundRun]:
    """Start a run and yield it while a worker has yet to prepare its change of a table."""
    with closing(worker.database(flow.warehouse.name)) as node, node.connect() as holder:
        holder.execute("select pg_advisory_lock(1)")
        node.execute(
            "set citus.enable_ddl_propagation = off; set citus.enable_manual_changes_to_shards = on;"
            " create function public.wait() returns trigger language plpgsql as"
            " 'begin perform pg_advisory_lock(1); perform pg_advisory_unlock(1); return null; end'"
        )
        for shard in shards(flow, worker, relation):
            node.execute(
                f"create constraint trigger wait after insert on {shard} initially deferred"
                " for each row execute function public.wait()"
            )
        run = flow.start()
        wait_until(lambda: node.query(WAITING), what="a worker that has yet to prepare")
        yield run


def sleeps(warehouse: Database, run: BackgroundRun) -> bool:
    """Tell whether a run waits for a moment to come back to something."""
    asleep = "select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    return bool(warehouse.query(asleep, [run.pid]))


def assert_waits_until_settled(flow: Flow, worker: Server, run: BackgroundRun) -> None:
    """See that a run does not go on beside what a worker has prepared, and that it has all once that is settled."""
    wh = flow.warehouse
    wait_until(lambda: sleeps(wh, run), what="a run that waits")
    with closing(worker.database(wh.name)) as node:
        assert node.query(PREPARED) != []
        wh.execute(SETTLE)
        run.finish()
        assert node.query(PREPARED) == []
    assert_all_arrived(flow)


@pytest.mark.parametrize("relation", ["mrr.sales", "dwh.fact_sales"])
def test_a_worker_does_not_hear_of_a_commit(unsettled: Flow, workers: list[Server], relation: str) -> None:
    """Its session is lost after it has prepared: what comes next waits for its part, whose rows nobody sees yet."""
    late, lost = workers[:2]
    with unprepared(unsettled, late, relation) as run, closing(lost.database(unsettled.warehouse.name)) as node:
        wait_until(lambda: node.query(PREPARED), what="a worker that has prepared")
        node.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where datname = current_database() and query ~ '^PREPARE TRANSACTION'"
        )
    if relation == "dwh.fact_sales":
        run.finish()
        unsettled.operational.execute("delete from public.sales where customerid between 120 and 160")
        run = unsettled.start()
    assert_waits_until_settled(unsettled, lost, run)


@pytest.mark.parametrize("relation", ["mrr.sales", "dwh.fact_sales"])
def test_a_run_is_ended_while_it_commits(unsettled: Flow, workers: list[Server], relation: str) -> None:
    """One worker has prepared, another has yet to: the session ends after that, with all of it or nothing."""
    late, early = workers[:2]
    with unprepared(unsettled, late, relation) as run, closing(early.database(unsettled.warehouse.name)) as node:
        wait_until(lambda: node.query(PREPARED), what="a worker that has prepared")
        unsettled.warehouse.execute(f"select pg_terminate_backend({run.pid})")
    with pytest.raises(psycopg.OperationalError):
        run.finish()
    run = unsettled.start()
    wait_until(lambda: sleeps(unsettled.warehouse, run) or not run.is_working, what="a run that waits, or its end")
    unsettled.warehouse.execute(SETTLE)
    run.finish()
    assert runs(unsettled) == ["succeeded", "aborted", "succeeded"]
    assert_all_arrived(unsettled)


@needs_control
@pytest.mark.parametrize("relation", ["mrr.sales", "dwh.fact_sales"])
def test_the_coordinator_is_lost_before_it_commits(unsettled: Flow, workers: list[Server], relation: str) -> None:
    """Workers have prepared already: all of it is rolled back, and the next run brings it once."""
    late, early = workers[:2]
    before = facts(unsettled)
    wh = unsettled.warehouse
    with unprepared(unsettled, late, relation) as run, closing(early.database(wh.name)) as node:
        wait_until(lambda: node.query(PREPARED), what="a worker that has prepared")
        control("stop", wh.server)
        with pytest.raises(psycopg.OperationalError):
            run.finish()
    wh.close()
    control("start", wh.server)
    assert facts(unsettled) == before
    assert_waits_until_settled(unsettled, early, unsettled.start())
    assert runs(unsettled) == ["succeeded", "aborted", "succeeded"]


@needs_control
def test_nodes_are_killed_at_any_moment(changed: Flow, workers: list[Server]) -> None:
    """One after the other, each time a little later in the run: after the last start one run has all."""
    wh = changed.warehouse
    began = time.monotonic()
    changed.run()
    length = time.monotonic() - began
    kills = 12
    for number in range(kills):
        changed.operational.execute(
            f"insert into public.customers values ({200 + number}, 'c', 'XX');"
            f" insert into public.sales select {200 + number}, n, {number} + 1 from generate_series(1, 20) n;"
            f" delete from public.sales where qty = {number}; update public.products set name = 'p{number}'"
        )
        run = changed.start()
        time.sleep(length * (number + 0.5) / kills)
        node = [wh.server, *workers][number % (1 + len(workers))]
        control("stop", node)
        with suppress(psycopg.Error):
            run.finish()
        wh.close()
        control("start", node)
    wh.execute(SETTLE)
    changed.run(force=True)
    assert_all_arrived(changed)
    assert set(runs(changed)) <= {"succeeded", "failed", "aborted", "skipped"}
