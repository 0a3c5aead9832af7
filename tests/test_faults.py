"""Faults, made for real: what the log says of them, and that the next run has lost nothing."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import sql

from tests.capture import add_log_table, gaps, may_replicate
from tests.conftest import SAMPLE, SOURCE_ROLE, alembic, database, login, register
from tests.faults import (
    Spare,
    assert_all_arrived,
    attempts,
    errors,
    fails,
    frozen,
    runs,
    set_source,
    silent,
    spare,
)
from tests.support import BackgroundRun, Database, Flow, Row, locked, raises, wait_until, waiting_for_lock

_numbers = itertools.count(1)
LAUNCHER = "select pid from pg_catalog.pg_stat_activity where backend_type = 'pg_cron launcher'"
CHANGE = (
    "insert into public.customers values (50, 'Dan', 'NO'); update public.products set groupname = 'New' where id = 1;"
    " insert into public.sales values (50, 1, 3), (1, 1, 2); delete from public.sales where qty = 7"
)


@pytest.fixture(scope="module")
def spare_warehouse() -> Iterator[Spare]:
    """Yield an instance for warehouses that can be killed; pg_cron is in its first database."""
    with spare("warehouse") as instance:
        yield instance


@pytest.fixture
def mortal(spare_warehouse: Spare, operational: Database) -> Iterator[Flow]:
    """Yield the sample, loaded once, in a warehouse whose server may be killed, with changes that wait."""
    with database(spare_warehouse.server, f"mortal_{next(_numbers)}") as warehouse:
        alembic(warehouse.dsn, command.upgrade, "head")
        without_jobs(spare_warehouse)
        flow = register(operational, warehouse, *SAMPLE)
        flow.seed()
        flow.run()
        flow.operational.execute(CHANGE)
        yield flow
        warehouse.close()


# ----------------------------------------------------------------------------------------------------------------------
# The source
# ----------------------------------------------------------------------------------------------------------------------
def test_source_is_down(sales: Flow) -> None:
    """Nobody listens: the runs fail with class 08, back off, and go on by themselves once it is back."""
    sales.seed()
    port = str(sales.operational.server.port)
    set_source(sales, port="1")
    assert fails(sales)[:2] == "08"
    assert fails(sales)[:2] == "08"
    sales.run()
    assert runs(sales) == ["failed", "failed", "skipped"]
    assert sales.warehouse.row(
        "select failures, next_attempt_at > now(), last_error like '%%refused%%' from etl.status"
        " where pipeline = 'sales'"
    ) == (2, True, True)
    set_source(sales, port=port)
    sales.warehouse.execute("update etl.pipeline set next_attempt_at = now() - interval '1 second'")
    sales.run()
    assert sales.last_run() == ("succeeded",)
    assert sales.warehouse.row("select failures, next_attempt_at from etl.status where pipeline = 'sales'") == (0, None)
    assert_all_arrived(sales)


def test_source_does_not_answer(sales: Flow) -> None:
    """A host that takes the connection and never says a word ends the run at connect_timeout, or by the watchdog."""
    sales.seed()
    with silent() as port:
        set_source(sales, port=str(port), connect_timeout="2")
        if sales.warehouse.connection.info.server_version < 160000:
            assert fails(sales)[:2] == "08"
        else:
            run = sales.start(user="headrace_runner")
            with sales.warehouse.connect("headrace_runner") as runner:
                wait_until(
                    lambda: sales.warehouse.query(
                        "select from pg_catalog.pg_stat_activity where pid = %s and wait_event = 'DblinkConnect'",
                        [run.pid],
                    ),
                    what="the connection",
                )
                runner.execute("call etl.cancel_overdue()")
            with pytest.raises(psycopg.errors.QueryCanceled):
                run.finish()
    set_source(sales, port=str(sales.operational.server.port))
    sales.run()
    assert_all_arrived(sales)


def test_source_dies_while_it_is_read(sales: Flow) -> None:
    """The source's session is ended after the first rows came: nothing of them stays, and the next run has all."""
    sales.seed()
    sales.operational.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 60000)")
    sales.warehouse.execute("update etl.settings set fetch_size = 100")
    run = sales.start()
    wait_until(
        lambda: sales.warehouse.query("select from etl.progress where step = 'sales' and rows_done > 100"),
        what="the first rows",
    )
    sales.operational.execute(
        "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity"
        " where usename = %s and datname = current_database()",
        [SOURCE_ROLE],
    )
    with pytest.raises(psycopg.Error):
        run.finish()
    assert runs(sales) == ["failed"]
    ((sqlstate, step, _),) = errors(sales)
    assert (sqlstate[:2] in ("08", "57"), step) == (True, "sales")
    assert sales.warehouse.query("select * from mrr.customers") == []
    sales.warehouse.execute("update etl.settings set fetch_size = default")
    sales.run(force=True)
    assert_all_arrived(sales)


def test_source_is_killed(cloned_warehouse: Callable[[], AbstractContextManager[Database]]) -> None:
    """The source's postmaster is killed while a run reads, and started again: no run since then misses a row."""
    root = Path(__file__).resolve().parent.parent / "db" / "operational" / "schema.sql"
    with spare("operational") as instance, cloned_warehouse() as warehouse:
        operational = instance.server.database(instance.name)
        login(instance.server, SOURCE_ROLE)
        operational.execute(root.read_text(encoding="utf-8"))
        operational.execute(f"grant usage on schema public to {SOURCE_ROLE}")
        operational.execute(f"grant select on all tables in schema public to {SOURCE_ROLE}")
        flow = register(operational, warehouse, *SAMPLE)
        flow.seed()
        flow.run()
        operational.execute(CHANGE)
        holder = operational.connect(autocommit=False)
        holder.execute("lock table public.sales")
        run = flow.start()
        waiting_for_lock(operational, "public.sales")
        instance.kill()
        with pytest.raises(psycopg.Error):
            run.finish()
        holder.close()
        operational.close()
        assert fails(flow)[:2] == "08"
        instance.start()
        flow.run(force=True)
        assert runs(flow) == ["succeeded", "failed", "failed", "succeeded"]
        assert_all_arrived(flow)
        operational.close()


def test_source_falls_silent(sales: Flow) -> None:
    """The source neither answers nor closes the connection, as when a network is cut: the watchdog ends the run."""
    sales.seed()
    sales.warehouse.execute("call etl.set_timeouts('sales', step => '1 second')")
    with locked(sales.operational, "public.sales"):
        run = sales.start()
        pid = waiting_for_lock(sales.operational, "public.sales")
        with frozen(pid):
            wait_until(
                lambda: sales.warehouse.query("select * from etl.overdue()"), what="the step to take longer than 1 s"
            )
            sales.warehouse.execute("call etl.cancel_overdue()")
            with raises("57014"):
                run.finish()
            assert runs(sales) == ["canceled"]
    sales.run()
    assert_all_arrived(sales)


def test_connection_notices_a_dead_peer(source: Flow) -> None:
    """The connections to a source are asked to notice a peer that is gone; what the user sets wins."""
    options: dict[str, str] = dict(
        source.warehouse.query(
            "select o.* from pg_catalog.pg_foreign_server as s, pg_catalog.pg_options_to_table(s.srvoptions) as o"
        )
    )
    assert {"connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count"} <= options.keys()
    assert options["tcp_user_timeout"] == "60000"
    at_source = (
        "select setting from pg_catalog.pg_settings where name like 'tcp%' or name ~ '^(lock|statement)_timeout'"
        " order by name"
    )
    asked = source.warehouse.query(
        "select r.setting from etl_ext.dblink(etl.connect_source('op'), %s) r (setting text)", [at_source]
    )
    assert asked == [("30000",), ("3600000",), ("3",), ("30",), ("10",), ("60000",)]


@pytest.mark.parametrize("ends", [True, False], ids=["that ends", "that stays"])
def test_migration_locks_a_source_table(sales: Flow, ends: bool) -> None:
    """The wait for a lock at the source is bounded, so that a run is not in the migration's way; it is tried again."""
    sales.seed()
    sales.warehouse.execute("update etl.settings set retry_attempts = 2, retry_pause = '100 milliseconds'")
    set_source(sales, options="-c lock_timeout=400ms")
    with locked(sales.operational, "public.sales"):
        run = sales.start()
        wait_until(lambda: errors(sales) if ends else not run.is_working, what="the lock timeout")
    if ends:
        run.finish()
        assert attempts(sales, "sales") == [(1, "failed"), (2, "succeeded")]
    else:
        with raises("55P03"):
            run.finish()
        assert attempts(sales, "sales") == [(1, "failed"), (2, "failed"), (3, "failed")]
        assert [sqlstate for sqlstate, *_ in errors(sales)] == ["55P03"] * 3
        assert sales.warehouse.value("select failures from etl.pipeline where pipeline = 'sales'") == 0
        sales.run()
    assert_all_arrived(sales)


def test_source_takes_too_long(sales: Flow) -> None:
    """The source's own statement_timeout, which the connection sets, ends a run that waits for one answer too long."""
    sales.seed()
    set_source(sales, options="-c statement_timeout=400ms")
    with locked(sales.operational, "public.sales"), raises("57014", message="statement timeout"):
        sales.run()
    assert runs(sales) == ["canceled"]
    assert [(sqlstate, step) for sqlstate, step, _ in errors(sales)] == [("57014", "sales")]
    sales.run()
    assert_all_arrived(sales)


def test_slot_is_lost(source: Flow) -> None:
    """The source throws away WAL that the slot needed: it is logged as a gap, and a comparison mends it."""
    may_replicate(source.operational)
    source.operational.execute("create table public.t (id int primary key, v text)")
    add_log_table(source, "public.t")
    source.run("log")
    source.operational.execute("insert into public.t select n, 'x' from generate_series(1, 100) n")
    admin = source.operational.server.database("postgres")
    admin.execute("alter system set max_slot_wal_keep_size = '1MB'")
    try:
        admin.execute("select pg_catalog.pg_reload_conf()")
        for _ in range(4):
            source.operational.execute("insert into public.t select coalesce(max(id), 0) + 1, 'y' from public.t")
            admin.execute("select pg_catalog.pg_switch_wal()")
            admin.execute("checkpoint")
        assert admin.query("select wal_status from pg_catalog.pg_replication_slots") == [("lost",)]
    finally:
        admin.execute("alter system reset max_slot_wal_keep_size")
        admin.execute("select pg_catalog.pg_reload_conf()")
        admin.close()
    source.run("log")
    assert "max_slot_wal_keep_size" in gaps(source)[0]
    source.assert_mirror_equals_source("public.t")
    source.operational.execute("delete from public.t where id < 10")
    source.run("log")
    source.assert_mirror_equals_source("public.t")
    assert len(gaps(source)) == 1
    source.warehouse.execute("call etl.remove_table('op', 'public.t', force => true)")


# ----------------------------------------------------------------------------------------------------------------------
# The warehouse
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", ["capture", "publish", "callback"])
def test_warehouse_is_killed(mortal: Flow, spare_warehouse: Spare, phase: str) -> None:
    """The postmaster is killed with signal 9 in a phase: after recovery the next run closes the row and has all."""
    place = {
        "capture": (mortal.operational, "public.sales"),
        "publish": (mortal.warehouse, "dwh.dim_product"),
        "callback": (mortal.warehouse, "dwh.told"),
    }
    mortal.warehouse.execute(
        "create table dwh.told (a int); grant all on dwh.told to headrace_owner;"
        " create procedure dwh.tell(pipeline text, run_id bigint, status text) language sql"
        " begin atomic insert into dwh.told values (1); end;"
        " grant execute on procedure dwh.tell to headrace_owner"
    )
    if phase == "callback":
        mortal.warehouse.execute("update etl.pipeline set on_success = 'dwh.tell' where pipeline = 'sales'")
    holder = place[phase][0].connect(autocommit=False)
    holder.execute(sql.SQL("lock table {}").format(sql.SQL(place[phase][1])))
    run = mortal.start()
    waiting_for_lock(*place[phase])
    spare_warehouse.kill()
    with pytest.raises(psycopg.OperationalError):
        run.finish()
    holder.close()
    mortal.warehouse.close()
    spare_warehouse.start()
    mortal.run()
    first = "succeeded" if phase == "callback" else "aborted"
    assert runs(mortal) == ["succeeded", first, "succeeded"]
    assert_all_arrived(mortal)


def test_warehouse_is_killed_at_any_moment(mortal: Flow, spare_warehouse: Spare) -> None:
    """Killed again and again, each time a little later in the run: after the last start one run has all."""
    began = time.monotonic()
    mortal.run()
    length = time.monotonic() - began
    kills = 6
    for number in range(kills):
        mortal.operational.execute(
            f"insert into public.customers values ({100 + number}, 'c', 'XX');"
            f" insert into public.sales values ({100 + number}, {number}, {number}), (1, 1, 2);"
            f" delete from public.sales where qty = {number - 1}; update public.products set name = 'p{number}'"
        )
        run = mortal.start()
        time.sleep(length * (number + 0.5) / kills)
        spare_warehouse.kill()
        with suppress(psycopg.OperationalError):
            run.finish()
        mortal.warehouse.close()
        spare_warehouse.start()
    mortal.run()
    assert_all_arrived(mortal)
    assert set(runs(mortal)) <= {"succeeded", "aborted"}


def test_backend_is_killed_hard(mortal: Flow) -> None:
    """A run's process is killed with signal 9, as by the OOM killer: PostgreSQL restarts, and the next run has all."""
    with locked(mortal.operational, "public.sales"):
        run = mortal.start()
        waiting_for_lock(mortal.operational, "public.sales")
        os.kill(run.pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            run.finish()
    mortal.warehouse.close()
    wait_until(lambda: asked(mortal.warehouse), what="the restart")
    mortal.run()
    assert runs(mortal) == ["succeeded", "aborted", "succeeded"]
    assert_all_arrived(mortal)


@pytest.fixture
def cron(spare_warehouse: Spare) -> Iterator[Database]:
    """Yield the database of pg_cron, without a job."""
    handle = spare_warehouse.server.database(spare_warehouse.name)
    wait_until(lambda: asked(handle), what="the server")
    handle.execute("create extension if not exists pg_cron")
    without_jobs(spare_warehouse)
    yield handle
    without_jobs(spare_warehouse)
    handle.close()


def test_launcher_of_pg_cron_is_killed(cron: Database) -> None:
    """Killed with signal 9, the launcher of pg_cron comes back with its jobs: PostgreSQL restarts all processes."""
    old = wait_until(lambda: cron.query(LAUNCHER), what="the launcher")
    cron.execute("select cron.schedule('kept', '17 3 * * *', 'select 1')")
    os.kill(old[0][0], signal.SIGKILL)
    wait_until(lambda: asked(cron, LAUNCHER) not in ([], old), what="another launcher")
    assert cron.query("select jobname from cron.job") == [("kept",)]


SEEN = (
    "select s.scheduler_is_up, s.next_run_at is not null, m.value from etl.status s left join etl.metrics m"
    " on m.name = 'headrace_scheduler_up' and m.labels ->> 'pipeline' = s.pipeline where s.pipeline = 'sales'"
)


def test_launcher_of_pg_cron_is_ended(mortal: Flow, cron: Database, spare_warehouse: Spare) -> None:
    """Ended by pg_terminate_backend, it is missed at once; the server's next start brings it back."""
    login(spare_warehouse.server, "headrace_monitor")
    cron.execute("select cron.schedule('kept', '17 3 * * *', 'select 1')")
    old = wait_until(lambda: cron.query(LAUNCHER), what="the launcher")
    with mortal.warehouse.connect("headrace_monitor") as monitor:
        assert monitor.execute(SEEN).fetchall() == [(True, True, 1)]
        cron.execute("select pg_catalog.pg_terminate_backend(%s, 10000)", [old[0][0]])
        gone = monitor.execute(SEEN).fetchall()
        assert gone == [(False, False, 0)] or cron.query(LAUNCHER) not in ([], old)
    cron.close()
    mortal.warehouse.close()
    spare_warehouse.stop()
    spare_warehouse.start()
    wait_until(lambda: asked(cron, LAUNCHER) not in ([], old), what="another launcher")
    assert cron.query("select jobname from cron.job") == [("kept",)]
    assert mortal.warehouse.query(SEEN) == [(True, True, 1)]


def test_warehouse_is_killed_while_a_job_runs(cron: Database, spare_warehouse: Spare) -> None:
    """The launcher of pg_cron outlives its postmaster then, and is ended before the server starts again."""
    cron.execute("select cron.schedule('long', '* * * * *', 'select pg_sleep(600)')")
    wait_until(
        lambda: cron.query("select from cron.job_run_details where command like '%%600%%' and status = 'running'", []),
        timeout=75,
        what="pg_cron's next minute",
    )
    spare_warehouse.kill()
    cron.close()
    spare_warehouse.start()
    assert cron.query("select jobname from cron.job") == [("long",)]


RIGHTS = """
    select 'database', datname::text, a.grantee::regrole::text, a.privilege_type
    from pg_catalog.pg_database, pg_catalog.aclexplode(datacl) a where datname = current_database()
    union all
    select 'schema', nspname::text, a.grantee::regrole::text, a.privilege_type
    from pg_catalog.pg_namespace, pg_catalog.aclexplode(nspacl) a
    union all
    select 'relation', oid::regclass::text, a.grantee::regrole::text, a.privilege_type
    from pg_catalog.pg_class, pg_catalog.aclexplode(relacl) a
    union all
    select 'routine', oid::regprocedure::text, a.grantee::regrole::text, a.privilege_type
    from pg_catalog.pg_proc, pg_catalog.aclexplode(proacl) a
    union all
    select 'type', oid::regtype::text, a.grantee::regrole::text, a.privilege_type
    from pg_catalog.pg_type, pg_catalog.aclexplode(typacl) a
    union all
    select 'default', concat_ws(' ', defaclnamespace::regnamespace, defaclobjtype), a.grantee::regrole::text,
           a.privilege_type
    from pg_catalog.pg_default_acl, pg_catalog.aclexplode(defaclacl) a
    order by 1, 2, 3, 4
"""


def test_roles_are_dropped_by_force(mortal: Flow, spare_warehouse: Spare) -> None:
    """Dropped with all their rights, the roles are made anew by the next deployment, and the jobs go on."""
    wh = mortal.warehouse
    job = f"headrace:{wh.value('select etl.warehouse_id()')}:run"
    alembic(wh.dsn, command.upgrade, "head")
    before = wh.query(RIGHTS)
    for role in ("headrace_runner", "headrace_monitor", "headrace_reader"):
        assert any(grantee == role for _, _, grantee, _ in before)
        wh.execute(f"drop owned by {role}; drop role {role}")
    wh.execute("call etl.run('sales')")
    assert_all_arrived(mortal)
    alembic(wh.dsn, command.upgrade, "head")
    assert wh.query(RIGHTS) == before
    login(spare_warehouse.server, "headrace_runner", "headrace_monitor", "headrace_reader")
    for role, question in (("runner", "call etl.run('sales')"), ("monitor", "table etl.status")):
        with wh.connect(f"headrace_{role}") as session:
            session.execute(question)
    mortal.operational.execute("insert into public.sales values (1, 1, 12)")
    mended = wh.value("select max(run_id) from etl.run_log")
    cron = spare_warehouse.server.database(spare_warehouse.name)
    assert cron.query("select username, active from cron.job where jobname = %s", [job]) == [("headrace_runner", True)]
    wait_until(
        lambda: wh.query(
            "select from etl.run_log where started_from = 'pg_cron' and status = 'succeeded' and run_id > %s", [mended]
        ),
        timeout=130,
        what="a run that pg_cron starts",
    )
    without_jobs(spare_warehouse)
    cron.close()
    wait_until(lambda: not wh.query("select from etl.run_log where status = 'running'"), what="the end of that run")
    mortal.run()
    assert_all_arrived(mortal)


def test_rights_of_a_role_are_dropped(mortal: Flow) -> None:
    """The role stays and its rights are gone: the next deployment grants them again."""
    before = mortal.warehouse.query(RIGHTS)
    mortal.warehouse.execute("drop owned by headrace_runner")
    alembic(mortal.warehouse.dsn, command.upgrade, "head")
    assert mortal.warehouse.query(RIGHTS) == before


def test_job_role_cannot_be_dropped_by_mistake(sales: Flow) -> None:
    """The role of the jobs has rights here, so PostgreSQL refuses to drop it."""
    with raises("2BP01"):
        sales.warehouse.execute("drop role headrace_runner")


@pytest.mark.parametrize("full", ["mrr.sales", "dwh.fact_sales"], ids=["capture", "publish"])
def test_disk_is_full(sales: Flow, warehouse_server_owner: tuple[int, int], full: str) -> None:
    """No room left: the run fails with 53100 and backs off; with room again all is there."""
    place = Path("/var/tmp") / f"headrace-small-{os.getpid()}-{next(_numbers)}"
    name = sql.Identifier(f"small_{next(_numbers)}")
    sales.seed()
    sales.run()
    with small_disk(place, warehouse_server_owner):
        wh = sales.warehouse
        wh.connection.execute(
            sql.SQL("create tablespace {} location {}").format(name, sql.Literal(str(place / "data")))
        )
        try:
            wh.connection.execute(sql.SQL("grant create on tablespace {} to headrace_owner").format(name))
            tables = wh.query(
                "select c.oid::regclass::text from pg_catalog.pg_partition_tree(%s::text::regclass) as p"
                " join pg_catalog.pg_class as c on c.oid = p.relid where p.isleaf"
                " union all select %s where not exists (select from pg_catalog.pg_partition_tree(%s::text::regclass))",
                [full, full, full],
            )
            for (table,) in tables:
                wh.connection.execute(sql.SQL("alter table {} set tablespace {}").format(sql.SQL(table), name))
            sales.operational.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 60000)")
            assert fails(sales) == "53100"
            assert runs(sales) == ["succeeded", "failed"]
            assert errors(sales)[0][0] == "53100"
            assert wh.value("select failures from etl.pipeline where pipeline = 'sales'") == 1
            assert wh.value("select count(*) from dwh.fact_sales") == 7
            for (table,) in tables:
                wh.connection.execute(sql.SQL("alter table {} set tablespace pg_default").format(sql.SQL(table)))
            sales.run(force=True)
            assert_all_arrived(sales)
        finally:
            for (table,) in wh.query(
                "select c.oid::regclass::text from pg_catalog.pg_class as c where c.reltablespace <> 0"
                " and c.relkind = 'r' and c.reltablespace = (select oid from pg_catalog.pg_tablespace"
                " where spcname = %s)",
                [name.as_string(None).strip('"')],
            ):
                wh.connection.execute(sql.SQL("alter table {} set tablespace pg_default").format(sql.SQL(table)))
            wh.connection.execute(sql.SQL("drop tablespace {}").format(name))


# ----------------------------------------------------------------------------------------------------------------------
# Sessions beside it
# ----------------------------------------------------------------------------------------------------------------------
def test_twenty_runs_at_once(sales: Flow) -> None:
    """Of twenty sessions one works at a time; the others are skipped without an error, and no row comes twice."""
    sales.seed()
    started = [sales.start() for _ in range(20)]
    for run in started:
        run.finish()
    outcomes = runs(sales)
    assert len(outcomes) == 20
    assert set(outcomes) <= {"succeeded", "skipped"}
    assert "succeeded" in outcomes
    assert errors(sales) == []
    assert_all_arrived(sales)


def test_long_reader_does_not_hold_up_a_publish(sales: Flow) -> None:
    """A reader keeps a transaction open on everything in dwh: the first and later publishes neither wait nor show."""
    with sales.warehouse.connect("headrace_reader", autocommit=False) as reader:
        reader.execute("set transaction isolation level repeatable read")
        tables = [
            table
            for (table,) in sales.warehouse.query(
                "select c.oid::regclass::text from pg_catalog.pg_class as c where c.relkind in ('r', 'p', 'v')"
                " and c.relnamespace = 'dwh'::regnamespace and has_table_privilege('headrace_reader', c.oid, 'select')"
            )
        ]
        question = sql.SQL(" union all ").join(
            sql.SQL("select {}, count(*) from {}").format(sql.Literal(table), sql.SQL(table)) for table in tables
        )
        before = reader.execute(question).fetchall()
        sales.seed()
        for change in ("select", CHANGE):
            sales.operational.execute(change)
            run = sales.start()
            run.finish()
        assert reader.execute(question).fetchall() == before
        reader.rollback()
    assert_all_arrived(sales)


def test_lock_on_a_mirror(sales: Flow) -> None:
    """Somebody locks a mirror: the run waits and is seen to; the watchdog can end it; later nothing is missing."""
    sales.seed()
    with locked(sales.warehouse, "mrr.products", "share"):
        run = sales.start()
        waiting_for_lock(sales.warehouse, "mrr.products")
        assert sales.warehouse.value("select step from etl.progress") == "products"
        sales.warehouse.execute("call etl.set_timeouts('sales', run => '1 microsecond')")
        sales.warehouse.execute("call etl.cancel_overdue()")
        with raises("57014"):
            run.finish()
    sales.warehouse.execute("call etl.set_timeouts('sales')")
    assert runs(sales) == ["canceled"]
    sales.run()
    assert_all_arrived(sales)


def test_lock_on_a_mirror_with_a_timeout(sales: Flow) -> None:
    """Where the session has a lock_timeout, the attempt fails with 55P03 and another one gets through."""
    sales.seed()
    sales.warehouse.execute("update etl.settings set retry_pause = '50 milliseconds'")
    with sales.warehouse.connect() as session:
        session.execute("set lock_timeout = '300ms'")
        with locked(sales.warehouse, "mrr.products", "share"):
            run = BackgroundRun(session, "call etl.run('sales')")
            wait_until(lambda: errors(sales), what="the first attempt's end")
        run.finish()
    assert attempts(sales, "products") == [(1, "failed"), (2, "succeeded")]
    assert [(sqlstate, step) for sqlstate, step, _ in errors(sales)] == [("55P03", "products")]
    assert runs(sales) == ["succeeded"]
    assert_all_arrived(sales)


# ----------------------------------------------------------------------------------------------------------------------
# The clock
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("back", ["1 second", "40 days"])
def test_clock_is_set_back(sales: Flow, back: str) -> None:
    """The source's clock goes back between two captures: versions keep the batches' order, and nothing is lost."""
    sales.seed()
    sales.run()
    for number in range(2):
        sales.operational.execute(
            f"update public.customers set country = 'C{number}'; insert into public.sales values (1, 1, {number + 20})"
        )
        sales.warehouse.execute("call mrr.capture('sales')")
        sales.warehouse.execute(
            "update etl.batch set captured_at = captured_at - %s::interval * %s where published_at is null",
            [back, number + 1],
        )
        sales.warehouse.execute("call dwh.publish('sales')")
        assert sales.last_run() == ("succeeded",)
    sales.run()
    assert sales.warehouse.query("select * from dwh.dim_customer where valid_from >= valid_to") == []
    assert sales.warehouse.value("select count(*) from dwh.dim_customer where customer_id = 1") == 3
    assert_all_arrived(sales)


# ----------------------------------------------------------------------------------------------------------------------
# Helpers
# ----------------------------------------------------------------------------------------------------------------------
def without_jobs(instance: Spare) -> None:
    """Keep pg_cron from running a pipeline by itself, when the server has started again or at the next minute."""
    cron = instance.server.database(instance.name)
    if cron.query("select from pg_catalog.pg_extension where extname = 'pg_cron'"):
        cron.execute("select cron.unschedule(jobid) from cron.job")
    cron.close()


def asked(database_: Database, question: str = "select 1") -> list[Row]:
    """Return the rows of a query; none while the server does not take connections."""
    try:
        return database_.query(question)
    except psycopg.OperationalError:
        database_.close()
    return []


@pytest.fixture
def warehouse_server_owner(warehouse: Database) -> tuple[int, int]:
    """Return user and group of the warehouse server's files."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    status = Path(warehouse.value("show data_directory")).stat()
    return status.st_uid, status.st_gid


@contextmanager
def small_disk(place: Path, owner: tuple[int, int]) -> Iterator[None]:
    """Mount a disk of a few pages at a place, with a directory for a tablespace; skip the test where that is barred."""
    place.mkdir()
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "headrace-small", place], check=False).returncode:
            pytest.skip("this machine does not let root mount a disk")
        try:
            (place / "data").mkdir(mode=0o700)
            os.chown(place / "data", *owner)
            yield
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        place.rmdir()
