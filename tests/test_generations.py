"""Rows without a key are of generations: a row is found in each, and those of a later one lie together in indexes."""

from __future__ import annotations

import random

import pytest
from alembic import command

from tests.capture import log_sample
from tests.conftest import SAMPLE, alembic, register
from tests.support import Database, Flow, locked, raises
from tests.test_facts import change_at_random
from tests.test_own_model import assert_facts_equal_source
from tests.test_own_model import shops as shops
from tests.test_speed import scans, work

GENERATION = 2**32
IN_WRONG_PLACE = """
select m.* from mrr.sales m
where m._hr_hash <> etl.placed_hash(m._hr_id,
                                    hashtextextended(row(m.customerid, m.productid, m.qty)::text collate "C", 0))"""
WHERE = "select _hr_id >> 32, _hr_hash >> 32 = _hr_id >> 32, count(*) from mrr.sales group by 1, 2 order by 1"


@pytest.fixture(params=["full", "log"])
def sold(request: pytest.FixtureRequest, operational: Database, warehouse: Database) -> Flow:
    """The sample, by either mode, not yet run."""
    if request.param == "full":
        return register(operational, warehouse, *SAMPLE)
    return log_sample(operational, warehouse)


def begin(flow: Flow, *tables: str) -> None:
    """Have what is added from now on be of a new generation."""
    for table in tables:
        before = flow.warehouse.value("select etl.newest_generation(%s::regclass)", [table])
        flow.warehouse.execute("select etl.begin_generation(%s::regclass, 0)", [table])
        assert flow.warehouse.value("select etl.newest_generation(%s::regclass)", [table]) == before + GENERATION


def test_rows_of_all_generations_are_found(sold: Flow) -> None:
    """Of equal rows in several generations the newest leaves first, in the mirror and in the facts."""
    for _ in range(3):
        sold.operational.execute("insert into public.sales values (1, 1, 2), (1, 1, 2), (2, 2, 3)")
        sold.run()
        begin(sold, "mrr.sales", "dwh.fact_sales")
    places = sold.warehouse.query(WHERE)
    assert [(generation, rows) for generation, _, rows in places] == [(0, 3), (1, 3), (2, 3)]
    assert [together for generation, together, _ in places if generation] == [True, True]
    batches = "select batch_id from dwh.fact_sales where qty = 2 order by 1"
    mirrored = "select _hr_batch from mrr.sales where qty = 2 order by 1"
    first, second, third = (
        row[0] for row in sold.warehouse.query("select distinct batch_id from dwh.fact_sales order by 1")
    )
    for left in ([first] * 2 + [second] * 2 + [third], [first] * 2 + [second], [first]):
        gone = 1 if left[-1] == third else 2
        sold.operational.execute(
            "delete from public.sales"
            f" where ctid = any (array(select ctid from public.sales where qty = 2 limit {gone}))"
        )
        sold.run()
        assert [row[0] for row in sold.warehouse.query(batches)] == left
        assert [row[0] for row in sold.warehouse.query(mirrored)] == left
    sold.assert_mirrors_equal_source()
    sold.assert_facts_equal_model()
    assert sold.warehouse.query(IN_WRONG_PLACE) == []


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_over_generations(sold: Flow, seed: int) -> None:
    """After every run all is what the source says, also after a rebuild and with the release before."""
    dice = random.Random(seed)
    for _ in range(5):
        change_at_random(sold, dice)
        sold.operational.execute("insert into public.sales values (1, 1, 1), (7, 7, 1)")
        sold.run()
        sold.assert_mirrors_equal_source()
        sold.assert_facts_equal_model()
        sold.warehouse.execute("select etl.begin_generation('mrr.sales', 0), etl.begin_generation('dwh.fact_sales', 0)")
    sold.operational.execute(
        "insert into public.customers values (7, 'late', 'NO'); insert into public.sales values (1, 1, 1)"
    )
    sold.run()
    sold.assert_facts_equal_model()
    assert len(sold.warehouse.query("select distinct sale_key >> 32 from dwh.fact_sales")) > 1
    assert sold.warehouse.query(IN_WRONG_PLACE) == []
    alembic(sold.warehouse.dsn, command.downgrade, "0013")
    hashes = """select m.* from mrr.sales m
        where m._hr_hash <> hashtextextended(row(m.customerid, m.productid, m.qty)::text collate "C", 0)"""
    assert sold.warehouse.query(hashes) == []
    alembic(sold.warehouse.dsn, command.upgrade, "head")
    for relation in ("mrr.sales", "dwh.fact_sales"):
        change_at_random(sold, dice)
        sold.run()
        sold.warehouse.call("etl.rebuild", relation=relation)
        sold.assert_mirrors_equal_source()
        sold.assert_facts_equal_model()


def test_facts_of_an_own_model(shops: Flow) -> None:
    """Facts without a key are of generations as well, and are found after a downgrade."""
    for _ in range(2):
        shops.run("shops")
        begin(shops, "mrr.scans", "dwh.fact_scan")
        shops.operational.execute("insert into public.scans values (1, 1.50, null), (2, 9, 'new')")
    shops.run("shops")
    assert shops.warehouse.query("select fact_key >> 32, count(*) from dwh.fact_scan group by 1 order by 1") == [
        (0, 4), (1, 2), (2, 2),
    ]  # fmt: skip
    assert (
        shops.warehouse.query(
            "select * from dwh.fact_scan where fact_key >= 2 ^ 32 and row_hash >> 32 <> fact_key >> 32"
        )
        == []
    )
    shops.operational.execute("delete from public.scans where weight = 1.5 or note = 'new'")
    shops.run("shops")
    assert_facts_equal_source(shops)
    shops.operational.execute("insert into public.scans values (2, 9, 'new')")
    shops.run("shops")
    alembic(shops.warehouse.dsn, command.downgrade, "0013")
    alembic(shops.warehouse.dsn, command.upgrade, "head")
    shops.operational.execute("delete from public.scans where note = 'new'")
    shops.run("shops")
    assert_facts_equal_source(shops)


def test_when_a_generation_begins(sold: Flow) -> None:
    """Once the newest has more than so many numbers and than an eighth of all rows; without numbers never."""
    grow = "insert into public.sales select 1, 1, 1 from generate_series(1, {})"
    newest = "select etl.newest_generation('mrr.sales') / 4294967296"

    def after(rows: int, least: int) -> object:
        sold.operational.execute(grow.format(rows))
        sold.run()
        sold.warehouse.execute("analyze mrr.sales")
        sold.warehouse.execute("select etl.begin_generation('mrr.sales', %s::bigint)", [least])
        return sold.warehouse.value(newest)

    sold.warehouse.execute("alter table mrr.sales alter _hr_id set cache 1")
    assert [after(3000, 3000), after(1, 3000)] == [0, 1]
    assert [after(8000, 8000), after(1, 3000)] == [1, 2]
    assert [after(1500, 1000), after(150, 1000)] == [2, 3], "an eighth of all rows is more than 1 500 first"
    sold.warehouse.execute("select etl.begin_generation('mrr.customers', 0), etl.begin_generation('dwh.dim_date', 0)")
    assert sold.warehouse.value("select etl.generations('mrr.customers')") == [0]
    sold.assert_mirrors_equal_source()
    sold.assert_facts_equal_model()


def test_rows_of_later_generations_lie_together_in_the_table(sold: Flow) -> None:
    """Added rows go to the end, not into the gaps that deleted ones left; a fillfactor that somebody chose is kept."""
    sold.operational.execute("insert into public.sales select 1, 1, n % 50 from generate_series(1, 5000) n")
    sold.run()
    tables = "select 'mrr.sales' union all select relid::text from pg_partition_tree('dwh.fact_sales') where isleaf"
    fillfactor = (
        "select split_part(o, '=', 2)::integer from pg_class, unnest(reloptions) o"
        " where oid = %s::regclass and o like 'fillfactor=%%'"
    )
    for (table,) in sold.warehouse.query(tables):
        sold.warehouse.execute(f"alter table {table} set (autovacuum_enabled = off); analyze {table}")
    begin(sold, "mrr.sales", "dwh.fact_sales")
    filled = [name for (name,) in sold.warehouse.query(tables) if sold.warehouse.query(fillfactor, [name]) == [(90,)]]
    assert len(filled) == 2, "the mirror, and the partition that has rows"
    sold.operational.execute("delete from public.sales where qty = 7")
    sold.run()
    ends = {}
    for table in filled:
        sold.warehouse.execute(f"vacuum (analyze) {table}")
        ends[table] = sold.warehouse.value(f"select max((ctid::text::point)[0]) from {table}")
    sold.operational.execute("insert into public.sales select 2, 2, 3 from generate_series(1, 100)")
    sold.run()
    for table in filled:
        added = "customerid = 2" if table == "mrr.sales" else "customer_id = 2"
        assert sold.warehouse.value(f"select min((ctid::text::point)[0]) from {table} where {added}") >= ends[table]
    sold.warehouse.execute("alter table mrr.sales set (fillfactor = 80); select etl.begin_generation('mrr.sales', 0)")
    assert sold.warehouse.query(fillfactor, ["mrr.sales"]) == [(80,)]
    sold.assert_mirrors_equal_source()
    sold.assert_facts_equal_model()


def test_who_vacuums_is_not_waited_for(sold: Flow) -> None:
    """The next batch tries again."""
    sold.operational.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 100)")
    sold.run()
    sold.warehouse.execute("alter table mrr.sales set (autovacuum_enabled = off); analyze mrr.sales")
    chosen = "select array_remove(reloptions, 'autovacuum_enabled=off') from pg_class where oid = 'mrr.sales'::regclass"
    with locked(sold.warehouse, "mrr.sales", "share update exclusive"):
        begin(sold, "mrr.sales")
        assert sold.warehouse.value(chosen) == []
    sold.warehouse.execute("select etl.begin_generation('mrr.sales', 0)")
    assert sold.warehouse.value(chosen) == ["fillfactor=90"]


def test_numbers_of_dimensions_go_on(sold: Flow) -> None:
    """Before a publish generations begin of facts alone: members keep counting."""
    sold.warehouse.execute(
        "do $$ declare f text; begin f := pg_get_functiondef('etl.begin_generation'::regproc);"
        " execute replace(f, 'DEFAULT 1000000', 'DEFAULT 0'); end $$"
    )
    for customer in range(1, 4):
        sold.operational.execute(f"insert into public.customers values ({customer}, 'c', 'NO')")
        sold.operational.execute(f"insert into public.sales values ({customer}, 1, 1)")
        sold.run()
    assert sold.warehouse.query("select sale_key >> 32 from dwh.fact_sales order by 1") == [(0,), (1,), (2,)]
    assert sold.warehouse.query("select _hr_id >> 32 from mrr.sales order by 1") == [(0,), (1,), (2,)]
    assert sold.warehouse.value("select max(customer_key) < 100 from dwh.dim_customer")
    sold.assert_facts_equal_model()


def test_columns_change_over_generations(sold: Flow) -> None:
    """Rows that look different since a column came keep their place in their generation, and are found."""
    sold.operational.execute("insert into public.sales values (1, 1, 1), (2, 2, 2)")
    sold.run()
    begin(sold, "mrr.sales", "dwh.fact_sales")
    sold.operational.execute("insert into public.sales values (1, 1, 1), (3, 3, 3)")
    sold.run()
    sold.operational.execute("alter table public.sales add column note text")
    sold.run()
    sold.run()
    assert sold.warehouse.query(IN_WRONG_PLACE.replace("m.qty)", "m.qty, m.note)")) == []
    assert sold.warehouse.value("select count(*) from mrr.sales where _hr_hash >> 32 = 1") == 2
    sold.operational.execute("delete from public.sales where qty in (1, 3)")
    sold.run()
    sold.assert_mirrors_equal_source()
    sold.assert_facts_equal_model()


def test_facts_of_a_customer(sold: Flow) -> None:
    """They come from all generations, with the rights of whoever asks, and through the index alone."""
    for _ in range(3):
        sold.operational.execute("insert into public.sales select n % 500 - 7, n, n from generate_series(1, 10000) n")
        sold.run()
        begin(sold, "dwh.fact_sales")
    sold.operational.execute("insert into public.sales values (-7, 1, 5), (1, 1, 5)")
    sold.run()
    sold.warehouse.execute("analyze dwh.fact_sales")
    for customer in (1, 2, -7, 8):
        rows = "select sale_key from {} order by 1"
        assert sold.warehouse.query(rows.format(f"dwh.sales_of_customer({customer})")) == sold.warehouse.query(
            rows.format(f"dwh.fact_sales where customer_id = {customer}")
        )
    assert sold.warehouse.value("select count(*) from dwh.sales_of_customer(-7)") == 61
    before = scans(sold)
    work(sold, "select * from dwh.sales_of_customer(2)")
    assert scans(sold) == before
    work(sold, "select * from dwh.fact_sales where customer_id = 2")
    assert scans(sold) != before, "the control: reading all is seen"
    with sold.warehouse.connect() as reader:
        reader.execute("set role headrace_reader")
        assert reader.execute("select count(*) from dwh.sales_of_customer(2)").fetchone() == (60,)
    with sold.warehouse.connect() as monitor, raises("42501"):
        monitor.execute("set role headrace_monitor")
        monitor.execute("select dwh.sales_of_customer(2)")


def test_a_copy_into_a_mirror_that_had_later_generations(sold: Flow) -> None:
    """A mirror that was emptied and is copied anew has one generation, as there is no row of another."""
    sold.warehouse.execute("update etl.settings set copy_from = 0")
    sold.operational.execute("insert into public.sales values (1, 1, 1)")
    sold.run()
    begin(sold, "mrr.sales")
    sold.operational.execute("delete from public.sales")
    sold.run()
    sold.warehouse.execute("update etl.source_table set needs_resync = true where mirror = 'sales'")
    sold.operational.execute("insert into public.sales values (1, 1, 1), (1, 1, 1), (2, 2, 2)")
    sold.run()
    assert sold.warehouse.query(WHERE) == [(0, False, 3)]
    assert sold.warehouse.query(IN_WRONG_PLACE) == []
    sold.assert_mirrors_equal_source()
    sold.assert_facts_equal_model()


def test_facts_that_were_dropped_by_hand(sold: Flow) -> None:
    """The release before and this one are deployed all the same."""
    sold.warehouse.execute("drop table dwh.fact_sales")
    alembic(sold.warehouse.dsn, command.downgrade, "0013")
    alembic(sold.warehouse.dsn, command.upgrade, "head")
    assert sold.warehouse.value("select version_num from alembic_version") > "0013"
