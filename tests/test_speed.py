"""What makes runs fast stays exact, and the cost of a run follows what changed: the plans that matter are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from alembic import command

from tests.capture import log_sample, put_stream
from tests.conftest import SAMPLE, alembic, register
from tests.support import Database, Flow, locked, wait_until, waiting_for_lock

CHANGE_SET = "select relkind from pg_catalog.pg_class where oid = 'stg.sales_changes'::regclass"
KEYS = "select count(*) from pg_catalog.pg_index where indrelid = 'mrr.sales'::regclass and indisprimary"


def copy(flow: Flow, more: int = 0) -> Flow:
    """Capture the first copy of sales, ``more`` than the sample has, straight into the mirror; do not publish it."""
    flow.warehouse.execute("update etl.settings set copy_from = 0")
    flow.seed()
    flow.operational.execute(f"insert into public.sales select 1, 1, 1 from generate_series(1, {more})")
    flow.operational.execute("analyze public.sales")
    flow.warehouse.execute("call mrr.capture('sales')")
    assert flow.warehouse.value(CHANGE_SET) == "v"
    flow.assert_mirrors_equal_source()
    return flow


@pytest.fixture(params=["full", "log"])
def copied(request: pytest.FixtureRequest, operational: Database, warehouse: Database) -> Flow:
    """The sample, its first copy of sales captured straight into the mirror and not yet published."""
    return copy(
        register(operational, warehouse, *SAMPLE) if request.param == "full" else log_sample(operational, warehouse)
    )


def settled(flow: Flow) -> None:
    """See that everything arrived, and that the mirror and its change set are tables like all others."""
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()
    assert flow.warehouse.value(CHANGE_SET) == "r"
    assert flow.warehouse.query("select * from stg.left_out") == []


def test_copy_is_its_own_change_set(copied: Flow) -> None:
    """The change set of a copy is the mirror: nothing is written twice, each row is an insert of its batch."""
    assert copied.warehouse.query("select * from stg.sales_written") == []
    columns = "customerid, productid, qty, _hr_batch"
    here = copied.warehouse.query(f"select {columns} from mrr.sales order by _hr_id")
    change_set = f"select {columns} from stg.sales_changes where _hr_op = 'I' order by _hr_seq"
    assert copied.warehouse.query(change_set) == here
    copied.warehouse.execute("call dwh.publish('sales')")
    settled(copied)


PLACE_INDEX = "select to_regclass('dwh.fact_sales_place_idx')::oid::bigint"
PLACE_INDEXES = """
select c.oid::regclass::text, i.indisvalid, regexp_replace(pg_get_indexdef(c.oid), '^.* USING', '')
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
where i.indrelid in (select relid from pg_partition_tree('dwh.fact_sales')) and not i.indisprimary
order by 1"""


def test_index_of_the_facts_follows_a_first_load(copied: Flow) -> None:
    """An index that the load does not need is made after the publish, the same as before, by whoever comes to it."""
    before, indexes = copied.warehouse.value(PLACE_INDEX), copied.warehouse.query(PLACE_INDEXES)
    assert [valid for _, valid, _ in indexes] == [True]
    copied.warehouse.execute("select etl.prepare_partitions('sales'); call dwh.publish('sales')")
    copied.assert_facts_equal_model()
    assert copied.warehouse.value(PLACE_INDEX) is None
    copied.warehouse.execute("select mrr.settle_copies('sales')")
    assert copied.warehouse.value("select etl.is_settled('sales')") is False
    copied.operational.execute("delete from public.sales where qty = 2")
    copied.run()
    settled(copied)
    after = copied.warehouse.query(PLACE_INDEXES)
    assert after[-1] == indexes[0]
    assert {(valid, definition) for _, valid, definition in after} == {indexes[0][1:]}
    assert len(after) == 1 + copied.warehouse.value(
        "select count(*) from pg_inherits where inhparent = 'dwh.fact_sales'::regclass"
    )
    assert copied.warehouse.value(PLACE_INDEX) != before
    assert copied.warehouse.value("select dwh.is_place_index_deferred('sales')") is False


@pytest.mark.parametrize(("before", "after"), [("64MB", "2MB"), ("1MB", "1MB"), ("1234kB", "1234kB"), ("1GB", "2MB")])
def test_memory_is_lowered_and_never_raised(warehouse: Database, before: str, after: str) -> None:
    """What a change run needs is a limit, not a claim; it ends with the transaction."""
    with warehouse.connect(autocommit=False) as session:
        session.execute(f"set work_mem = '{before}'")
        session.commit()
        assert session.execute("select etl.lower_work_mem(2048)").fetchone() == (before,)
        assert session.execute("show work_mem").fetchone() == (after,)
        session.commit()
        assert session.execute("show work_mem").fetchone() == (before,)


def test_index_of_a_large_table_is_shared(warehouse: Database) -> None:
    """Only while it is made, only of a large table, and not where somebody has said how many may work on it."""
    warehouse.execute("create table public.large (line text); alter table public.large alter line set storage plain")
    share = "select etl.share_index('public.large', %s)"
    options = "select reloptions from pg_class where oid = 'public.large'::regclass"
    assert warehouse.value(share, [None]) is False, "small"
    warehouse.execute("insert into public.large select repeat('x', 7000) from generate_series(1, 8200)")
    with warehouse.connect() as session:
        session.execute("set max_parallel_maintenance_workers = 0")
        assert session.execute(share, [None]).fetchone() == (False,)
        session.execute("set max_parallel_maintenance_workers = 3")
        assert session.execute(share, [None]).fetchone() == (True,)
        assert session.execute(options).fetchone() == (["parallel_workers=3"],)
        told: list[str] = []
        session.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        session.execute("set client_min_messages = debug1; set maintenance_work_mem = '1MB'")
        session.execute("create index made on public.large (length(line))")
        session.execute("reset client_min_messages")
        assert 'building index "made" on table "large" with request for 3 parallel workers' in told
        assert session.execute(share, [True]).fetchone() == (False,)
        assert session.execute(options).fetchone() == (None,)
    warehouse.execute("alter table public.large set (parallel_workers = 1)")
    assert warehouse.value(share, [None]) is False
    assert warehouse.value(share, [False]) is False
    assert warehouse.value(options) == ["parallel_workers=1"]


def test_index_of_the_facts_stays_while_somebody_reads(copied: Flow) -> None:
    """Nobody is waited for."""
    before = copied.warehouse.value(PLACE_INDEX)
    with locked(copied.warehouse, "dwh.fact_sales", "access share"):
        copied.warehouse.execute("select etl.prepare_partitions('sales')")
    assert copied.warehouse.value(PLACE_INDEX) == before
    copied.warehouse.execute("select etl.prepare_partitions('sales')")
    assert copied.warehouse.value(PLACE_INDEX) is None


def test_index_of_the_facts_stays_where_facts_are(sales: Flow) -> None:
    """Only a first load is worth it; the run that drops the index makes it."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.seed()
    sales.operational.execute("analyze public.sales")
    made = [sales.warehouse.value(PLACE_INDEX)]
    for _ in range(2):
        sales.run()
        settled(sales)
        made.append(sales.warehouse.value(PLACE_INDEX))
        sales.warehouse.call("etl.remove_table", source="op", source_table="public.sales", force=True)
        sales.add_table("public.sales", "sales")
    assert made[1] is not None
    assert made[0] != made[1] == made[2]


def test_index_of_the_facts_is_made_though_the_publish_failed(copied: Flow) -> None:
    """A check that stops the publish leaves it to the next run."""
    query = "select * from dwh.fact_sales where qty > 6"
    copied.warehouse.call("etl.add_check", pipeline="sales", name="few", severity="error", query=query)
    copied.warehouse.execute("select etl.prepare_partitions('sales'); call dwh.publish('sales')")
    assert copied.last_run("status") == ("failed",)
    assert copied.warehouse.value(PLACE_INDEX) is None
    copied.operational.execute("delete from public.sales where qty > 6")
    copied.run()
    settled(copied)
    assert copied.warehouse.value(PLACE_INDEX) is not None


def test_index_of_the_facts_stays_where_others_write_or_more_waits(sales: Flow) -> None:
    """Another pipeline's publish would have to wait for it, and a batch that waits may delete what it finds by it."""
    sales.operational.execute("insert into public.customers values (7, 'Gil', 'NO')")
    sales.warehouse.execute("call mrr.capture('sales')")
    copy(sales)
    before = sales.warehouse.value(PLACE_INDEX)

    def deferred() -> object:
        sales.warehouse.execute("select etl.prepare_partitions('sales')")
        return sales.warehouse.value(PLACE_INDEX) is None

    assert deferred() is False, "two batches wait"
    sales.warehouse.execute("update etl.batch set published_at = now() where batch_id = 1")
    sales.warehouse.execute(
        "insert into etl.pipeline (pipeline) values ('other');"
        "insert into etl.step (pipeline, step, routine, target, stages)"
        " select 'other', s.step, s.routine, s.target, s.stages from etl.step s where s.target = 'dwh.fact_sales'"
    )
    assert deferred() is False, "another pipeline has facts there"
    sales.warehouse.execute("delete from etl.step where pipeline = 'other'")
    sales.warehouse.execute("update etl.settings set copy_from = 1000000")
    assert deferred() is False, "a small copy"
    assert sales.warehouse.value(PLACE_INDEX) == before
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    assert deferred() is True


def test_index_of_the_facts_that_cannot_be_made_is_told(operational: Database, warehouse: Database) -> None:
    """The run goes on without it; the next one, which has nothing else to do, makes it."""
    flow = copy(log_sample(operational, warehouse))
    flow.warehouse.execute("select etl.prepare_partitions('sales'); call dwh.publish('sales')")
    flow.warehouse.execute("set lock_timeout = '200ms'")
    told = "select count(*) from etl.procedure_errors where routine = 'etl.make_indexes' and sqlstate = '55P03'"
    with locked(warehouse, "dwh.fact_sales", "row exclusive"):
        for _ in range(2):
            flow.run()
            assert flow.last_run("status") == ("succeeded",)
    assert flow.warehouse.value(told) >= 2
    settled(flow)
    assert flow.warehouse.value("select etl.is_settled('sales')") is False
    flow.run(dry_run=True)
    assert flow.warehouse.value(PLACE_INDEX) is None
    flow.run()
    assert flow.warehouse.value(PLACE_INDEX) is not None
    assert flow.warehouse.value("select etl.is_settled('sales')") is True


INDEX_STEPS = """
select s.phase, s.step, s.status from etl.step_log s
where s.run_id = (select max(r.run_id) from etl.run_log r) and s.step like 'index%' order by s.step_log_id"""


def test_indexes_are_steps_of_a_first_load(sales: Flow) -> None:
    """What is made after the publish takes a fifth of the run, so the log has it."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.seed()
    sales.operational.execute("analyze public.sales")
    sales.run()
    made = [("publish", f"index {table}", "succeeded") for table in ("mrr.sales", "dwh.fact_sales")]
    assert sales.warehouse.query(INDEX_STEPS) == made
    sales.run()
    assert sales.warehouse.query(INDEX_STEPS) == []


@pytest.mark.parametrize("table", ["mrr.sales", "dwh.fact_sales"])
def test_index_that_is_waited_for_is_seen_and_can_be_canceled(
    operational: Database, warehouse: Database, table: str
) -> None:
    """Another session sees it; a run that is canceled there ends so, and the next one makes the index."""
    flow = copy(log_sample(operational, warehouse))
    flow.warehouse.execute("select etl.prepare_partitions('sales'); call dwh.publish('sales')")
    with locked(warehouse, table, {"mrr.sales": "access share", "dwh.fact_sales": "row exclusive"}[table]):
        run = flow.start()
        wait_until(
            lambda: warehouse.query("select phase, step from etl.progress") == [("publish", f"index {table}")],
            what=f"a run that makes the index of {table}",
        )
        warehouse.execute("select pg_catalog.pg_cancel_backend(%s)", [run.pid])
        with pytest.raises(psycopg.errors.QueryCanceled, match=f"was canceled in step index {table}"):
            run.finish()
    assert flow.last_run("status") == ("canceled",)
    assert warehouse.query(INDEX_STEPS)[-1] == ("publish", f"index {table}", "canceled")
    assert (warehouse.value(KEYS), warehouse.value(PLACE_INDEX)) == (int(table != "mrr.sales"), None)
    flow.run(force=True)
    settled(flow)
    assert warehouse.value(KEYS) == 1
    assert warehouse.value(PLACE_INDEX) is not None


def test_run_canceled_at_an_index_after_its_publish(sales: Flow) -> None:
    """The publish stays, the log says what was not done, and the next run does it; no step_timeout applies."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.seed()
    sales.operational.execute("analyze public.sales")
    with ExitStack() as reading:
        with locked(sales.warehouse, "dwh.dim_product", "share row exclusive"):
            run = sales.start()
            waiting_for_lock(sales.warehouse, "dwh.dim_product")
            reading.enter_context(locked(sales.warehouse, "dwh.fact_sales", "row exclusive"))
        wait_until(
            lambda: sales.warehouse.query("select step from etl.progress") == [("index dwh.fact_sales",)],
            what="a run that makes the index of the facts",
        )
        sales.assert_facts_equal_model()
        sales.warehouse.execute("call etl.set_timeouts('sales', step => '1 microsecond')")
        assert sales.warehouse.query("select * from etl.overdue()") == []
        sales.warehouse.execute("select pg_catalog.pg_cancel_backend(%s)", [run.pid])
        with pytest.raises(psycopg.errors.QueryCanceled, match=r"was canceled in step index dwh\.fact_sales"):
            run.finish()
    assert sales.warehouse.query(INDEX_STEPS) == [
        ("publish", "index mrr.sales", "succeeded"),
        ("publish", "index dwh.fact_sales", "canceled"),
    ]
    assert sales.last_run("status, last_batch - first_batch") == ("canceled", 0)
    sales.warehouse.execute("call etl.set_timeouts('sales')")
    sales.run(force=True)
    settled(sales)
    assert sales.warehouse.query("select count(*) from etl.batch where rows_changed > 0") == [(1,)]
    assert sales.warehouse.value(PLACE_INDEX) is not None


def test_index_of_the_facts_is_made_once(operational: Database, warehouse: Database) -> None:
    """Several steps may load the same facts; and what else the session does is not shown as the index."""
    copy(log_sample(operational, warehouse))
    warehouse.execute("select etl.prepare_partitions('sales'); call dwh.publish('sales')")
    warehouse.execute(
        "insert into etl.step (pipeline, step, routine, target, stages)"
        " select s.pipeline, 'again', s.routine, s.target, s.stages from etl.step s where s.target = 'dwh.fact_sales'"
    )
    made = "select s.step, s.status from etl.make_indexes('sales', 1, null) o cross join lateral unnest(o.steps) s"
    with warehouse.connect() as session:
        session.execute("set application_name = 'somebody'")
        assert session.execute(made).fetchall() == [
            ("index mrr.sales", "succeeded"),
            ("index dwh.fact_sales", "succeeded"),
        ]
        assert session.execute("show application_name").fetchone() == ("somebody",)
        assert session.execute(made).fetchall() == []


def test_indexes_wait_for_a_run_that_could_begin(operational: Database, warehouse: Database) -> None:
    """A run that fails at its slot makes no index, and a mirror that is gone is an error like any other."""
    flow = copy(log_sample(operational, warehouse))
    warehouse.execute("select etl.prepare_partitions('sales'); call dwh.publish('sales')")
    warehouse.execute("alter server op options (set port '1')")
    with pytest.raises(psycopg.OperationalError):
        flow.run()
    warehouse.execute(f"alter server op options (set port '{operational.server.port}')")
    assert warehouse.query(INDEX_STEPS) == []
    assert warehouse.value(PLACE_INDEX) is None
    warehouse.execute("drop table mrr.sales cascade")
    with pytest.raises(psycopg.errors.UndefinedTable):
        flow.run(force=True)
    assert flow.last_run("status") == ("failed",)
    assert warehouse.query(INDEX_STEPS)[0] == ("publish", "index mrr.sales", "failed")


SHAPE = """
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, col_description(a.attrelid, a.attnum), k.attnum,
       array(select c.contype::text || pg_get_constraintdef(c.oid) from pg_constraint c
             where c.conrelid = a.attrelid order by 1)
from pg_attribute a
left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
left join lateral unnest(i.indkey) k (attnum) on k.attnum = a.attnum
where a.attrelid = to_regclass(%s) and a.attnum > 0 order by a.attnum"""


def test_month_filled_at_once_is_a_month_like_any_other(copied: Flow) -> None:
    """Columns, comments and constraints are those of a partition that was made empty; keys go on behind its own."""
    copied.warehouse.execute("call dwh.publish('sales')")
    ((this, after),) = copied.warehouse.query(
        "select dwh.partition_name('dwh.fact_sales', d.month), dwh.partition_name('dwh.fact_sales', d.month + 31)"
        " from (select date_trunc('month', captured_on)::date from dwh.fact_sales limit 1) d (month)"
    )
    month = "select date_trunc('month', captured_on)::date + 31 from dwh.fact_sales limit 1"
    copied.warehouse.execute(f"select dwh.ensure_partition('dwh.fact_sales', ({month}))")
    filled = copied.warehouse.query(SHAPE, [this])
    assert len(filled) == 10
    assert filled == copied.warehouse.query(SHAPE, [after])
    last = "select max(sale_key) from dwh.fact_sales"
    before = copied.warehouse.value(last)
    assert copied.warehouse.value("select count(distinct sale_key) - count(*) from dwh.fact_sales") == 0
    copied.operational.execute("insert into public.sales values (1, 1, 1)")
    copied.run()
    assert copied.warehouse.value(last) > before
    copied.assert_facts_equal_model()


@pytest.mark.parametrize("processes", [2, 0])
def test_first_load_is_shared_by_processes(operational: Database, warehouse: Database, processes: int) -> None:
    """The plans of the largest statements of a first load are parallel, where the server allows it."""
    copied = copy(log_sample(operational, warehouse), more=1000)
    plans: list[str] = []
    with copied.warehouse.connect() as session:
        session.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
        session.execute(
            "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_level = notice"
        )
        session.execute("set auto_explain.log_nested_statements = on; set client_min_messages = notice")
        session.execute(
            "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0"
        )
        session.execute(f"set max_parallel_workers_per_gather = {processes}")
        session.execute("call dwh.publish('sales')")
    for statement in (
        "create table dwh.fact_sales",
        "create temporary table headrace_unknown",
        "create temporary table headrace_delta",
    ):
        found = [plan for plan in plans if f"Query Text: {statement}" in plan]
        assert found, statement
        assert all(("Gather" in plan) == (processes > 0) for plan in found), found
    copied.run()
    settled(copied)


def test_run_goes_on_after_a_copy(copied: Flow) -> None:
    """Further changes follow the copy, whichever came first: its publish or they; the mirror has its key again."""
    copied.operational.execute("delete from public.sales where qty = 2; insert into public.sales values (2, 2, 2)")
    copied.run()
    copied.run()
    settled(copied)
    assert copied.warehouse.value(KEYS) == 1


def test_copy_that_cannot_be_published_is_mended_by_what_follows(copied: Flow) -> None:
    """A copy waits while a check stops it, and is written out before the mirror changes."""
    query = "select * from dwh.fact_sales where qty > 6"
    copied.warehouse.call("etl.add_check", pipeline="sales", name="few", severity="error", query=query)
    copied.warehouse.execute("call dwh.publish('sales')")
    assert copied.last_run("status") == ("failed",)
    assert copied.warehouse.value(CHANGE_SET) == "v"
    copied.operational.execute("delete from public.sales where qty > 6")
    copied.run()
    copied.run()
    settled(copied)


def test_copy_with_unfit_rows_is_replayed(copied: Flow) -> None:
    """Unfit rows of a copy are left out by number; replayed, what is fit by then becomes facts of the copy's date."""
    copied.warehouse.execute("call dwh.publish('sales')")
    unfit = copied.warehouse.value("select count(*) from stg.quarantine where mirror = 'sales'")
    assert unfit == 6
    copied.warehouse.call("etl.replay_quarantine", pipeline="sales")
    settled(copied)
    assert copied.warehouse.value("select count(*) from stg.quarantine where mirror = 'sales'") == unfit


def test_too_many_unfit_rows_of_a_copy_stop_the_publish(copied: Flow) -> None:
    """The share of unfit rows is one of the copy's rows."""
    copied.warehouse.execute("update etl.settings set quarantine_from = 1, quarantine_share = 0.1")
    copied.warehouse.execute("call dwh.publish('sales')")
    assert copied.last_run("status") == ("failed",)
    assert copied.warehouse.query("select * from stg.quarantine") == []


def test_copy_is_removed(copied: Flow) -> None:
    """A table can be removed while its copy waits; registered again, its rows come once."""
    copied.warehouse.call("etl.remove_table", source="op", source_table="public.sales", force=True)
    assert copied.warehouse.query("select relname from pg_catalog.pg_class where relname like 'sales\\_%n'") == []
    copied.add_table("public.sales", "sales")
    copied.run()
    settled(copied)


def test_registered_again_by_a_copy(copied: Flow) -> None:
    """A copy of a table that was mirrored before withdraws what came then."""
    copied.run()
    copied.warehouse.call("etl.remove_table", source="op", source_table="public.sales", force=True)
    copied.operational.execute("delete from public.sales where qty = 2")
    copied.add_table("public.sales", "sales")
    copied.run()
    settled(copied)


def test_columns_change_while_a_copy_waits(copied: Flow) -> None:
    """A changed column is followed: the copy is written out first."""
    copied.operational.execute("alter table public.sales add note text; insert into public.sales values (1, 1, 1, 'x')")
    copied.run()
    copied.run()
    settled(copied)


def test_columns_change_while_unfit_rows_wait(copied: Flow) -> None:
    """A row in quarantine is found again, and keeps its values, after columns were added and renamed at the source."""
    copied.run()
    copied.operational.execute(
        "alter table public.sales add note text; insert into public.sales values (1, 1, -1, 'x')"
    )
    copied.run()
    copied.operational.execute("alter table public.sales rename note to remark; delete from public.sales where qty = 0")
    copied.run()
    settled(copied)
    copied.warehouse.call("etl.replay_quarantine", pipeline="sales")
    remark = "select row_data ->> 'remark' from stg.quarantine where row_data ->> 'qty' = '-1'"
    assert copied.warehouse.value(remark) == "x"
    copied.operational.execute("delete from public.sales where qty = -1; alter table public.sales drop remark")
    copied.run()
    copied.operational.execute("delete from public.sales where qty < 0")
    copied.run()
    settled(copied)


def test_rebuild_and_reconcile_while_a_copy_waits(copied: Flow) -> None:
    """A comparison changes nothing, and a rebuild publishes the copy first."""
    copied.warehouse.call("etl.reconcile", source="op", source_table="public.sales")
    assert copied.warehouse.value("select rows_different from etl.reconciliation") == 0
    assert copied.warehouse.value(CHANGE_SET) == "v"
    copied.warehouse.call("etl.rebuild", relation="mrr.sales")
    settled(copied)
    copied.warehouse.call("etl.rebuild", relation="dwh.fact_sales")
    settled(copied)


def test_dry_run_of_a_copy(copied: Flow) -> None:
    """A dry run leaves a waiting copy as it was."""
    copied.run(dry_run=True)
    assert copied.warehouse.value(CHANGE_SET) == "v"
    assert copied.warehouse.query("select * from dwh.fact_sales") == []
    copied.run()
    settled(copied)


def test_downgrade_while_a_copy_waits(copied: Flow) -> None:
    """The release before knows no copies: they are written out, and an upgrade goes on with them."""
    copied.warehouse.execute("select etl.prepare_partitions('sales')")
    assert copied.warehouse.value(PLACE_INDEX) is None
    alembic(copied.warehouse.dsn, command.downgrade, "0007")
    assert copied.warehouse.value(CHANGE_SET) == "r"
    assert copied.warehouse.value("select count(*) from stg.sales_changes") == 13
    alembic(copied.warehouse.dsn, command.upgrade, "0008")
    alembic(copied.warehouse.dsn, command.downgrade, "0007")  # which finds no routine that would write a copy out
    alembic(copied.warehouse.dsn, command.upgrade, "head")
    copied.run()
    settled(copied)


def test_copy_does_not_wait_for_a_dump(sales: Flow) -> None:
    """While another session holds the tables, as a dump does, the copy goes through a change set."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.seed()
    with locked(sales.warehouse, "stg.sales_changes", "access share"):
        sales.warehouse.execute("call mrr.capture('sales')")
        assert sales.warehouse.value(CHANGE_SET) == "r"
    sales.run()
    settled(sales)


def test_copy_waits_for_earlier_changes(sales: Flow) -> None:
    """A table that was emptied and filled again while its earlier batches wait: each batch keeps its own changes."""
    query = "select * from dwh.fact_sales where qty = 2"
    sales.warehouse.call("etl.add_check", pipeline="sales", name="few", severity="error", query=query)
    sales.seed()
    sales.operational.execute("analyze public.sales")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "r"
    sales.operational.execute("create table public.kept as select * from public.sales; truncate public.sales")
    sales.warehouse.execute("call mrr.capture('sales'); update etl.settings set copy_from = 0")
    sales.operational.execute("insert into public.sales select * from public.kept where qty is distinct from 2")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "r"
    sales.run()
    settled(sales)
    sales.operational.execute("truncate public.sales")
    sales.run()
    sales.operational.execute("insert into public.sales select * from public.kept where qty is distinct from 2")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "v"
    sales.run()
    settled(sales)


def test_rebuild_of_an_empty_mirror(sales: Flow) -> None:
    """A rebuild that meets an empty mirror, so that it begins with a copy, brings each row once."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.run()
    sales.seed()
    sales.warehouse.call("etl.rebuild", relation="mrr.sales")
    sales.run()
    settled(sales)
    assert sales.warehouse.value(KEYS) == 1


def test_withdrawal_beside_a_copy_is_not_taken_for_a_row(copied: Flow) -> None:
    """The row that withdraws what came before may have the number of an unfit row; only that is quarantined."""
    copied.run()
    copied.warehouse.call("etl.remove_table", source="op", source_table="public.sales", force=True)
    copied.add_table("public.sales", "sales")
    copied.warehouse.execute("call mrr.capture('sales')")
    assert copied.warehouse.value(CHANGE_SET) == "v"
    unfit = "select min(_hr_id) from mrr.sales where qty is null or qty <= 0"
    number = copied.warehouse.value(unfit)
    assert number is not None
    copied.warehouse.execute(f"update stg.sales_written set _hr_seq = {number} where _hr_op = 'T'")
    copied.warehouse.execute("call dwh.publish('sales')")
    settled(copied)
    assert copied.warehouse.value("select count(*) from stg.quarantine where mirror = 'sales'") == 6


def test_facts_of_a_first_copy_take_its_numbers(sales: Flow) -> None:
    """Nobody counts them anew, unfit sales leave a gap, and the next fact has a number of its own."""
    copied = copy(sales, 40)
    fit = "customerid > 0 and productid > 0 and qty > 0"
    numbers = copied.warehouse.query(f"select _hr_id - min(_hr_id) over () from mrr.sales where {fit} order by 1")
    assert numbers[-1] != (len(numbers) - 1,), "a gap"
    copied.warehouse.execute("call dwh.publish('sales')")
    keys = "select sale_key - min(sale_key) over () from dwh.fact_sales order by 1"
    assert copied.warehouse.query(keys) == numbers
    assert copied.warehouse.query(NUMBERS)[0][2]


STAGE = "select pg_get_functiondef('stg.sale'::regproc)"
NUMBERS = """
select count(*), count(distinct sale_key),
       max(sale_key) <= (select last_value from pg_catalog.pg_sequences where sequencename = 'fact_sales_sale_key_seq')
from dwh.fact_sales"""


@pytest.mark.parametrize(
    ("rows", "end"),
    [
        (0.5, "and c._hr_seq % 2 = 0"),
        (3, "cross join generate_series(1, 3)"),
        (1, "and c._hr_seq % 2 = 0 cross join generate_series(1, 2)"),
    ],
)
def test_stage_that_makes_no_or_several_sales_of_a_row(sales: Flow, rows: float, end: str) -> None:
    """The facts of a first copy are as many as the stage makes, and the next one has a number of its own."""
    sales.operational.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 40)")
    sales.operational.execute("analyze public.sales")
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    condition = "where c._hr_batch = p_batch"
    kept, _, joined = end.partition("cross")
    changed = f"{joined and 'cross' + joined} {condition} {kept}"
    sales.warehouse.execute(sales.warehouse.value(STAGE).replace(condition, changed))
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "v"
    sales.warehouse.execute("call dwh.publish('sales')")
    assert sales.warehouse.query(NUMBERS) == [(40 * rows, 40 * rows, True)]


def test_members_that_only_a_first_copy_names(sales: Flow) -> None:
    """Customers and products that nobody else knows become members once, and their sales count."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.seed()
    sales.operational.execute("insert into public.sales values (91, 1, 2), (91, 92, 3), (1, 92, 4), (91, 92, 3)")
    sales.operational.execute("analyze public.sales")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "v"
    sales.warehouse.execute("call dwh.publish('sales')")
    settled(sales)
    inferred = "select customer_id from dwh.dim_customer where is_inferred and customer_id > 90"
    assert sales.warehouse.query(inferred) == [(91,)]
    inferred = "select product_id from dwh.dim_product where is_inferred and product_id > 90"
    assert sales.warehouse.query(inferred) == [(92,)]


def test_members_of_nearly_all_sales_of_a_first_copy(sales: Flow) -> None:
    """Where hardly a customer is known, sales have their keys all the same, and the partition no rows that are gone."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.operational.execute("insert into public.sales select n, n, 1 from generate_series(1, 200) n")
    sales.operational.execute("analyze public.sales")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "v"
    sales.warehouse.execute("call dwh.publish('sales')")
    settled(sales)
    assert sales.warehouse.value("select count(*) from dwh.dim_customer where is_inferred") == 200
    assert sales.warehouse.value("select min(sale_key) from dwh.fact_sales") > 200, "made once more"


def test_index_of_a_first_load_is_for_all(sales: Flow) -> None:
    """Sales whose member was unknown leave no row behind for which older transactions could not use the keys."""
    copy(sales, 40)
    sales.warehouse.execute("call dwh.publish('sales')")
    settled(sales)
    assert sales.warehouse.value("select min(sale_key) from dwh.fact_sales") < 40, "not made once more"
    assert sales.warehouse.query(
        "select distinct i.indisvalid, i.indcheckxmin from pg_catalog.pg_index i"
        " join pg_catalog.pg_inherits h on h.inhrelid = i.indrelid where h.inhparent = 'dwh.fact_sales'::regclass"
    ) == [(True, False)]


@pytest.mark.parametrize("more", [0, 40])
def test_first_copy_that_finds_no_version(sales: Flow, more: int) -> None:
    """A version that was changed by hand, so that no sale finds it, stops the publish and is named."""
    copied = copy(sales, more)
    copied.warehouse.execute(
        "insert into dwh.dim_customer (source, customer_id, valid_from, valid_to, is_current, batch_from, batch_to)"
        " values ('op', 91, '2001-01-01', '2002-01-01', false, -2, -1)"
    )
    copied.warehouse.execute("update mrr.sales set customerid = 91 where qty = 4")
    copied.warehouse.execute("call dwh.publish('sales')")
    error = copied.warehouse.value("select e.message from etl.procedure_errors e order by e.error_id desc limit 1")
    fit = copied.warehouse.value(
        "select count(*) from stg.sale((select max(batch_id) from etl.batch)) where op = 'I' and reason is null"
    )
    assert copied.last_run() == ("failed",)
    assert error == f"batch 1 has {fit} fit sales, but {fit - 1} found a customer and a product"
    assert copied.warehouse.value("select count(*) from dwh.fact_sales") == 0


def test_copy_stays_beside_what_is_bound_to_its_change_set(sales: Flow) -> None:
    """A function that is bound to the table of changes, not to its name, would not see a copy: so there is none."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.warehouse.execute(
        "create function stg.seen() returns bigint begin atomic select count(*) from stg.sales_changes; end"
    )
    sales.seed()
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "r"
    sales.run()
    settled(sales)


def test_empty_tables_take_the_common_way(sales: Flow) -> None:
    """An empty table, of which a source never has statistics, is not prepared for a copy by each run."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    key = "select indexrelid from pg_catalog.pg_index where indrelid = 'mrr.sales'::regclass and indisprimary"
    before = sales.warehouse.query(key)
    sales.run()
    assert sales.warehouse.query(key) == before
    sales.seed()
    sales.run()
    settled(sales)
    assert sales.warehouse.query(key) != before


def test_mirrors_that_share_a_stage_take_the_common_way(sales: Flow) -> None:
    """The judge finds unfit rows by their numbers, which those of two copies would share."""
    sales.warehouse.execute("update etl.settings set copy_from = 0")
    sales.warehouse.execute(
        "insert into etl.stage (stage, mirror) values ('stg.shared', 'sales'), ('stg.shared', 'products')"
    )
    sales.seed()
    sales.operational.execute("analyze public.sales")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "r"
    sales.assert_mirrors_equal_source()


def test_small_tables_take_the_common_way(sales: Flow) -> None:
    """A table that its source knows to be small is not worth it."""
    sales.seed()
    sales.operational.execute("analyze public.sales")
    sales.warehouse.execute("call mrr.capture('sales')")
    assert sales.warehouse.value(CHANGE_SET) == "r"


# ----------------------------------------------------------------------------------------------------------------------
# Plans
# ----------------------------------------------------------------------------------------------------------------------
SCANS = """
select c.oid::regclass::text, pg_catalog.pg_stat_get_numscans(c.oid)
from pg_catalog.pg_class c
where c.oid = 'mrr.sales'::regclass or c.relname like 'fact\\_sales\\_%' and c.relkind = 'r'
order by 1"""


def scans(flow: Flow) -> list[tuple[str, int]]:
    """Return how often the mirror and the facts were read whole so far."""
    flow.warehouse.execute("select pg_stat_force_next_flush()")
    with flow.warehouse.connect() as session:
        return session.execute(SCANS).fetchall()


def work(flow: Flow, statement: str = "call etl.run('sales')") -> None:
    """Execute a statement in a session of its own, whose statistics are there when it ends."""
    with flow.warehouse.connect() as session:
        session.execute(statement)
    flow.warehouse.execute("select pg_stat_clear_snapshot()")


def large(operational: Database, warehouse: Database) -> Flow:
    """Return the sample with log capture and 40 000 sales, loaded."""
    flow = log_sample(operational, warehouse)
    flow.operational.execute("call public.generate(40000)")
    flow.run()
    flow.run()
    flow.assert_facts_equal_model()
    return flow


CHANGES = [
    "insert into public.sales select 1 + n % 400, 1 + n % 40, 1 from generate_series(1, 5) n",
    "delete from public.sales where ctid in (select ctid from public.sales limit 3)",
    "insert into public.sales select 1 + n % 400, 1 + n % 40, 1 from generate_series(1, 4000) n",
    "update public.sales set qty = qty + 1 where ctid in (select ctid from public.sales limit 4000)",
    "delete from public.sales where ctid in (select ctid from public.sales limit 4000)",
    "update public.customers set country = country || '!' where id % 5 = 0",
]


@pytest.mark.parametrize("is_known", [True, False], ids=["analyzed", "unknown"])
def test_a_change_run_reads_neither_mirror_nor_facts_whole(
    operational: Database, warehouse: Database, is_known: bool
) -> None:
    """Few changes or many, statistics or none: a run by log finds what it changes through indexes."""
    flow = large(operational, warehouse)
    if is_known:
        warehouse.execute("analyze mrr.sales, dwh.fact_sales, dwh.dim_customer, dwh.dim_product")
    for change in CHANGES:
        before = scans(flow)
        operational.execute(change)
        work(flow)
        assert flow.last_run() == ("succeeded",)
        assert scans(flow) == before, change
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()


def test_the_scans_are_seen(operational: Database, warehouse: Database) -> None:
    """The control of the test above: a statement that reads a table whole is counted."""
    flow = large(operational, warehouse)
    before = scans(flow)
    work(flow, "select count(qty) from mrr.sales; select count(qty) from dwh.fact_sales")
    assert all(after[1] > earlier[1] for after, earlier in zip(scans(flow), before, strict=True))


# ----------------------------------------------------------------------------------------------------------------------
# Decoding
# ----------------------------------------------------------------------------------------------------------------------
def peeked(flow: Flow, columns: int) -> psycopg.Connection:
    """Make a table of so many columns, change it, and put what a slot says of it where the decoding looks."""
    values = ["''", "null", "'Привет'", "repeat('x', 9000)", "E'a\\nb'"]
    row = ", ".join(values[n % len(values)] for n in range(columns))
    op = flow.operational
    op.execute("set synchronous_commit = on")  # a slot delivers what is flushed
    op.execute(f"create table public.wide (id int primary key, {', '.join(f'c{n} text' for n in range(columns))})")
    op.execute("".join(f"alter table public.wide alter c{n} set storage external;" for n in range(columns)))
    op.execute("create publication wide for table public.wide")
    op.execute("select pg_create_logical_replication_slot('wide', 'pgoutput')")
    op.execute(f"insert into public.wide select n, {row} from generate_series(1, 3) n")
    op.execute("update public.wide set c0 = 'new' where id = 1; update public.wide set id = 9 where id = 2")
    op.execute("alter table public.wide replica identity full")
    op.execute("update public.wide set c0 = null; delete from public.wide")
    messages = op.query(
        "select xid::text::bigint, data from pg_logical_slot_get_binary_changes("
        "'wide', null, null, 'proto_version', '1', 'publication_names', 'wide')"
    )
    op.execute("select pg_drop_replication_slot('wide')")
    session = flow.warehouse.connect()
    put_stream(session, messages)
    session.execute(
        "create temporary table headrace_relation as select s.seq as first_seq,"
        " coalesce(lead(s.seq) over (order by s.seq), 9223372036854775807) as end_seq, r.relation, r.column_names"
        " from headrace_stream s cross join lateral mrr.decode_relation(s.message) r where s.tag = 'R'"
    )
    return session


@pytest.mark.parametrize("columns", [1, 7, 40])
def test_decoding_at_once_says_what_the_loop_says(source: Flow, columns: int) -> None:
    """The generated query and the loop over bytes agree on nulls, unchanged values, old rows and keys."""
    with peeked(source, columns) as session:
        by_loop = session.execute(
            "select s.seq, s.tag, d.old_kind, d.old_values, d.new_values, d.kept from headrace_stream s"
            " cross join lateral mrr.decode_change(s.message) d where s.tag in ('I', 'U', 'D') order by 1"
        ).fetchall()
        at_once = []
        for is_pair in (True, False):
            ((query,),) = session.execute(
                "select mrr.decode_query(%s, '{I,U,D}', %s)", [columns + 1, is_pair]
            ).fetchall()
            at_once += session.execute(query.replace("$1", "0").replace("$2", "null::text")).fetchall()
    assert len(by_loop) == 11
    assert sorted(row[:6] for row in at_once) == sorted(by_loop)


def test_a_run_takes_one_connection(operational: Database, warehouse: Database) -> None:
    """The phases of a run share their connection to the source, and leave none behind."""
    flow = large(operational, warehouse)
    sessions = (
        "select pg_catalog.pg_stat_get_db_sessions(oid) from pg_catalog.pg_database where datname = current_database()"
    )
    here = "select pid from pg_catalog.pg_stat_activity where usename = 'headrace_source'"
    wait_until(lambda: not operational.query(here))  # a session counts when it has ended
    before = operational.value(sessions)
    operational.execute(CHANGES[0])
    flow.run()
    wait_until(lambda: not operational.query(here))
    assert operational.value(sessions) == before + 1


# ----------------------------------------------------------------------------------------------------------------------
# most_popular_product
# ----------------------------------------------------------------------------------------------------------------------
FEW = 20  # products that have several versions


@pytest.fixture
def assortment(sales: Flow) -> Flow:
    """Many products, each sold before and after a few of them were renamed, and one that sells best."""
    sales.operational.execute(
        "insert into public.products select n, 'p' || n, 'g' from generate_series(1, 5000) n;"
        " insert into public.sales select 1, n, 1 + 20000 / n from generate_series(1, 5000) n"
    )
    sales.run()
    sales.operational.execute(
        f"update public.products set name = 'q' || id where id % (5000 / {FEW}) = 0;"
        " insert into public.sales select 1, n, 1 from generate_series(1, 5000) n"
    )
    sales.run()
    sales.warehouse.execute("vacuum analyze dwh.dim_product, dwh.sales_by_product")
    return sales


def readings(plan: object) -> Iterator[dict[str, object]]:
    """Yield the nodes of a plan that read a table."""
    if isinstance(plan, dict):
        if "Relation Name" in plan:
            yield plan
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from readings(part)


def pages_read(flow: Flow, query: str, table: str) -> int:
    """Return how many pages of a table and its indexes the statements of a call read, whether from memory or disk."""
    told: list[str] = []
    with flow.warehouse.connect() as session:
        session.execute(query.encode())  # reads the catalog
        session.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        session.execute(
            "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_level = notice;"
            " set auto_explain.log_nested_statements = on; set client_min_messages = notice;"
            " set auto_explain.log_analyze = on; set auto_explain.log_buffers = on; set auto_explain.log_format = json"
        )
        session.execute(query.encode())
    nodes = [node for text in told for node in readings(json.loads(text.partition("plan:")[2]))]
    assert nodes, told
    return sum(
        int(str(node["Shared Hit Blocks"])) + int(str(node["Shared Read Blocks"]))
        for node in nodes
        if node["Relation Name"] == table
    )


def test_most_popular_product_reads_few_products(assortment: Flow) -> None:
    """Without filters it reads of the dimension what it needs to find those that can win, and not the whole."""
    smallest = assortment.warehouse.value("select pg_relation_size('dwh.dim_product_version_idx') / 8192")
    question = "select dwh.most_popular_product()"
    assert assortment.warehouse.value(question) == "p1"
    assert pages_read(assortment, question, "dim_product") < smallest
    assert pages_read(assortment, "select dwh.most_popular_product(product_group => 'g')", "dim_product") > smallest
    totals = assortment.warehouse.value("select pg_relation_size('dwh.sales_by_product') / 8192")
    assert totals <= pages_read(assortment, question, "sales_by_product") < 2 * totals
    assortment.warehouse.execute("drop index dwh.dim_product_later_idx")
    assert assortment.warehouse.value(question) == "p1"
    assert pages_read(assortment, question, "dim_product") >= smallest


@pytest.mark.parametrize(("totals", "share"), [("sales_by_product", 1), ("sales_by_day", 4)])
def test_totals_are_updated_in_place(assortment: Flow, totals: str, share: int) -> None:
    """Where all products, or a quarter of the lines, are sold again the index does not grow; without room it does."""
    size = f"select pg_relation_size('dwh.{totals}_pkey')"
    again = f"insert into public.sales select 1, n, 1 from generate_series(1, 5000, {share}) n"

    def growth() -> int:
        assortment.warehouse.execute(f"vacuum full dwh.{totals}")
        before = assortment.warehouse.value(size)
        assortment.operational.execute(again)
        assortment.run()
        return int(assortment.warehouse.value(size) - before)

    assert growth() == 0
    assortment.warehouse.execute(f"alter table dwh.{totals} reset (fillfactor)")
    assert growth() > 0
    assortment.assert_aggregates_equal_facts()
