"""Facts and aggregates: every fit sale once, cancelled ones by exactly one row, unfit ones in quarantine."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from tests.support import Flow, Row, raises

SALE_STAGE = "select pg_catalog.pg_get_functiondef('stg.sale(bigint)'::regprocedure)"


def change_at_random(flow: Flow, dice: random.Random) -> None:
    """Make a handful of changes at the source, with values so few that duplicates and late members abound."""
    for _ in range(dice.randint(1, 12)):
        customer, product, qty = dice.randint(1, 5), dice.randint(1, 5), dice.choice([None, 0, 1, 1, 2, 3])
        flow.operational.execute(
            dice.choice(
                [
                    "insert into public.sales values (%(c)s, %(p)s, %(q)s)",
                    "insert into public.sales values (%(c)s, %(p)s, %(q)s), (%(c)s, %(p)s, %(q)s)",
                    "insert into public.sales values (null, %(p)s, %(q)s)",
                    "delete from public.sales where ctid = any (array(select ctid from public.sales limit 2))",
                    "update public.sales set qty = %(q)s where customerId = %(c)s and productId = %(p)s",
                    "update public.sales set productId = %(p)s where customerId is null",
                    "insert into public.customers values (%(c)s, 'c' || %(p)s, 'L' || %(p)s) on conflict (id)"
                    " do update set country = excluded.country",
                    "insert into public.products values (%(p)s, 'p' || %(c)s, 'g') on conflict (id)"
                    " do update set name = excluded.name",
                    "delete from public.customers where id = %(c)s",
                    "delete from public.products where id = %(p)s",
                ]
            ),
            {"c": customer, "p": product, "q": qty},
        )


def facts(flow: Flow) -> list[Row]:
    """Return the facts without their own numbers and versions."""
    return flow.warehouse.query(
        "select customer_id, product_id, qty, captured_at, batch_id from dwh.fact_sales order by 5, 1, 2, 3"
    )


def dimension(flow: Flow, name: str) -> list[Row]:
    """Return a dimension's versions without their keys."""
    return flow.warehouse.query(
        f"select {name}_id, name, valid_from, valid_to::text, is_current, is_inferred from dwh.dim_{name} order by 1, 3"
    )


@pytest.mark.parametrize("seed", range(4))
def test_random_changes(sales: Flow, seed: int) -> None:
    """After every run facts, quarantine, dimensions and aggregates are what the source says."""
    dice = random.Random(seed)
    for _ in range(5):
        change_at_random(sales, dice)
        if dice.random() < 0.3:
            sales.warehouse.execute("call mrr.capture('sales')")
            change_at_random(sales, dice)
        sales.run()
        sales.assert_mirrors_equal_source()
        sales.assert_facts_equal_model()


def test_cancelled_sale_leaves_by_one_row(sales: Flow) -> None:
    """Of equal sales exactly as many leave as were cancelled, the most recently captured first."""
    sales.operational.execute("insert into public.sales values (1, 1, 2), (1, 1, 2), (1, 1, 3)")
    sales.run()
    sales.operational.execute("insert into public.sales values (1, 1, 2), (1, 1, 2)")
    sales.run()
    for left in ([1, 1, 1, 2], [1, 1, 1], [1, 1]):
        sales.operational.execute(
            "delete from public.sales where ctid = (select min(ctid) from public.sales where qty = 2)"
        )
        sales.run()
        assert [row[4] for row in facts(sales)] == left
        sales.assert_facts_equal_model()


def test_cancelled_sale_is_found_under_an_older_version(sales: Flow) -> None:
    """A cancelled sale leaves though its customer and product have new versions since."""
    sales.seed()
    sales.run()
    sales.operational.execute(
        "update public.customers set country = 'XX'; update public.products set name = name || '!'"
    )
    sales.run()
    sales.operational.execute("delete from public.sales where customerId = 1")
    sales.run()
    sales.assert_facts_equal_model()


def test_aggregate_that_lacks_a_line_stops_the_publish(sales: Flow) -> None:
    """A cancelled sale whose line is missing, since it was deleted by hand, is not passed over."""
    sales.operational.execute("insert into public.sales values (1, 1, 2), (2, 2, 3)")
    sales.run()
    for table in ("sales_by_day", "sales_by_product"):
        sales.warehouse.execute(f"create table public.kept as table dwh.{table}; delete from dwh.{table}")
        sales.operational.execute("delete from public.sales where qty = 2")
        with raises("23514", message=f"{table}_lines_check"):
            sales.run()
        sales.warehouse.execute(f"insert into dwh.{table} table public.kept; drop table public.kept")
    sales.run()
    sales.assert_facts_equal_model()


def test_unfit_sales_wait_in_quarantine(sales: Flow) -> None:
    """Each unfit sale is in quarantine with its reason, duplicates included."""
    sales.seed()
    sales.run()
    assert sales.warehouse.query("select reason, count(*) from stg.quarantine group by 1 order by 1") == [
        ("the quantity is not positive", 4),
        ("the sale has no customer", 1),
        ("the sale has no product", 1),
    ]
    assert sales.warehouse.value("select quarantined from etl.status where pipeline = 'sales'") == 6


def test_mended_sale_comes_back(sales: Flow) -> None:
    """A row that is mended at the source leaves quarantine and becomes a fact; one that is deleted leaves for good."""
    sales.operational.execute("insert into public.sales values (1, 1, null), (1, 1, null), (null, 2, 5), (1, 2, -1)")
    sales.run()
    sales.operational.execute("update public.sales set qty = 4 where ctid = (select min(ctid) from public.sales)")
    sales.operational.execute("delete from public.sales where customerId is null")
    sales.run()
    assert [row[:3] for row in facts(sales)] == [(1, 1, 4)]
    assert sales.warehouse.value("select count(*) from stg.quarantine") == 2
    sales.assert_facts_equal_model()


def test_good_sale_that_goes_bad(sales: Flow) -> None:
    """A fact whose row becomes unfit leaves the facts for quarantine, and returns."""
    sales.operational.execute("insert into public.sales values (1, 1, 4)")
    sales.run()
    for qty in (-4, 4, None, 4):
        sales.operational.execute("update public.sales set qty = %s", [qty])
        sales.run()
        sales.assert_facts_equal_model()


@pytest.fixture
def strict(sales: Flow) -> Flow:
    """Return the sample with a rule that for now finds every quantity above 100 unfit."""
    definition = sales.warehouse.value(SALE_STAGE)
    sales.warehouse.execute("create table public.rule (definition text)")
    sales.warehouse.execute("insert into public.rule values (%s)", [definition])
    changed = definition.replace("c.qty <= 0", "c.qty not between 1 and 100")
    assert changed != definition
    sales.warehouse.execute(f"set check_function_bodies = off; {changed}; reset check_function_bodies")
    return sales


def relax(flow: Flow) -> None:
    """Put the rule back as it was deployed."""
    definition = flow.warehouse.value("select definition from public.rule")
    flow.warehouse.execute(f"set check_function_bodies = off; {definition}; reset check_function_bodies")


def test_quarantine_comes_first(strict: Flow) -> None:
    """Where equal rows are in quarantine and in the facts, a cancelled one leaves quarantine first."""
    strict.operational.execute("insert into public.sales values (1, 1, 500)")
    strict.run()
    assert facts(strict) == []
    relax(strict)
    strict.operational.execute("insert into public.sales values (1, 1, 500)")
    strict.run()
    assert len(facts(strict)) == 1
    strict.operational.execute("delete from public.sales where ctid = (select min(ctid) from public.sales)")
    strict.run()
    assert len(facts(strict)) == 1
    assert strict.warehouse.query("select * from stg.quarantine") == []
    strict.assert_facts_equal_model()


def test_replay_quarantine(strict: Flow) -> None:
    """After a rule changed its rows come back, dated as captured; those that are still unfit stay."""
    strict.operational.execute("insert into public.customers values (1, 'Ada', 'GB')")
    strict.operational.execute("insert into public.sales values (1, 1, 500), (1, 1, 500), (1, 1, 5), (1, 1, 0)")
    strict.run()
    strict.operational.execute("update public.customers set country = 'FR'")
    strict.run()
    relax(strict)
    strict.run()
    assert [row[2] for row in facts(strict)] == [5]
    with strict.warehouse.connect("headrace_runner") as runner:
        runner.execute("call etl.replay_quarantine('sales')")
    assert [row[2] for row in facts(strict)] == [5, 500, 500]
    assert len({row[3:] for row in facts(strict)}) == 1
    assert strict.warehouse.query("select country, units from dwh.sales_by_day") == [("GB", 1005)]
    strict.run()
    strict.assert_mirrors_equal_source()
    strict.assert_facts_equal_model()
    strict.operational.execute("delete from public.sales where qty = 500")
    strict.run()
    strict.assert_facts_equal_model()


# ----------------------------------------------------------------------------------------------------------------------
# Rebuild
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "relation", ["dwh.fact_sales", "dwh.dim_customer", "dwh.dim_product", "mrr.sales", "mrr.customers"]
)
def test_rebuild_changes_nothing_that_was_right(sales: Flow, relation: str) -> None:
    """Made anew from the layer below, everything is as it was, dates and versions included."""
    dice = random.Random(7)
    sales.seed()
    for _ in range(3):
        sales.run()
        change_at_random(sales, dice)
    sales.run()
    before = facts(sales)
    versions = {name: dimension(sales, name) for name in ("customer", "product")}
    sales.warehouse.call("etl.rebuild", relation=relation)
    sales.run()
    assert facts(sales) == before
    assert {name: dimension(sales, name) for name in versions} == versions
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


@pytest.mark.parametrize(
    ("relation", "damage"),
    [
        (
            "dwh.fact_sales",
            "delete from dwh.fact_sales where qty = 2; update dwh.fact_sales set qty = 77 where qty = 7",
        ),
        ("dwh.dim_customer", "update dwh.dim_customer set name = 'wrong' where customer_id = 1"),
        ("mrr.sales", "delete from mrr.sales where qty in (2, 7)"),
        ("mrr.sales", "update mrr.sales set qty = 66 where qty = 1"),
        (
            "mrr.customers",
            "update mrr.customers set name = 'wrong' where id = 1; delete from mrr.customers where id = 2",
        ),
    ],
)
def test_rebuild_mends_damage(sales: Flow, relation: str, damage: str) -> None:
    """What was changed by hand is right again after a rebuild and a run."""
    sales.seed()
    sales.run()
    sales.warehouse.execute(damage)
    sales.warehouse.call("etl.rebuild", relation=relation)
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()


# ----------------------------------------------------------------------------------------------------------------------
# most_popular_product
# ----------------------------------------------------------------------------------------------------------------------
def popular(flow: Flow, **narrowed: object) -> object:
    """Ask as a reader."""
    arguments = ", ".join(f"{name} => %({name})s" for name in narrowed)
    with flow.warehouse.connect("headrace_reader") as reader:
        (name,) = reader.execute(f"select dwh.most_popular_product({arguments})", narrowed).fetchone() or ("nothing",)
    return name


def test_a_replay_minds_what_waits(sales: Flow) -> None:
    """A quarantined sale whose deletion is captured and not yet published does not come back by a replay."""
    sales.operational.execute("insert into public.sales values (1, 1, -5), (1, 1, 2)")
    sales.run("sales")
    assert sales.warehouse.value("select count(*) from stg.quarantine") == 1
    sales.operational.execute("delete from public.sales where qty = -5")
    sales.warehouse.execute("call mrr.capture('sales')")
    sales.warehouse.execute("call etl.replay_quarantine('sales')")
    sales.run("sales")
    assert sales.warehouse.query("select count(*) from stg.quarantine") == [(0,)]
    assert sales.warehouse.query("select qty from dwh.fact_sales") == [(2,)]


def test_most_popular_product_of_nothing(sales: Flow) -> None:
    """It is NULL on an empty warehouse, before and after a run, and where the filters leave nothing."""
    assert popular(sales) is None
    sales.run()
    assert popular(sales) is None
    sales.seed()
    sales.run()
    assert popular(sales, country="Nowhere") is None


def test_most_popular_product(sales: Flow) -> None:
    """Most units win, ties go by name, filters narrow, and cancelled sales no longer count."""
    sales.operational.execute(
        """
        insert into public.customers values (1, 'Ada', 'GB'), (2, 'Bo', 'SE');
        insert into public.products values (1, 'Saw', 'Tools'), (2, 'Axe', 'Tools'), (3, 'Tea', 'Food');
        insert into public.sales values (1, 1, 3), (1, 2, 1), (2, 2, 2), (2, 3, 1), (2, 3, 1)
        """
    )
    sales.run()
    today = sales.warehouse.value("select max(captured_on) from dwh.fact_sales")
    assert popular(sales) == "Axe"
    assert popular(sales, country="GB") == "Saw"
    assert popular(sales, country="SE") == "Axe"
    assert popular(sales, product_group="Food") == "Tea"
    assert popular(sales, country="GB", product_group="Food") is None
    assert popular(sales, first_day=today, last_day=today) == "Axe"
    assert popular(sales, first_day=today + timedelta(days=1)) is None
    assert popular(sales, last_day=date(2000, 1, 1)) is None
    sales.operational.execute("insert into public.sales values (2, 3, 2)")
    sales.run()
    assert popular(sales) == "Tea"
    sales.operational.execute("delete from public.sales where productId = 3")
    sales.run()
    assert popular(sales) == "Axe"


def test_most_popular_product_across_versions(sales: Flow) -> None:
    """A renamed product counts as a whole and under its name of today."""
    sales.operational.execute(
        "insert into public.products values (1, 'Old', 'g'), (2, 'Other', 'g');"
        " insert into public.sales values (1, 1, 2), (1, 2, 3)"
    )
    sales.run()
    sales.operational.execute(
        "update public.products set name = 'New' where id = 1; insert into public.sales values (1, 1, 2)"
    )
    sales.run()
    assert popular(sales) == "New"
    assert popular(sales, product_group="g") == "New"
    sales.operational.execute("insert into public.sales values (1, 2, 1)")
    sales.run()
    assert popular(sales) == "New", "a tie goes by name"
    sales.operational.execute("insert into public.sales values (1, 2, 1)")
    sales.run()
    assert popular(sales) == "Other"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [1, 20], ids=["alike", "unlike"])
def test_most_popular_product_of_many(sales: Flow, spread: int, seed: int) -> None:
    """Sold alike or not, and renamed however often: it is the one that a count over all sales finds."""
    dice = random.Random(seed)
    names: dict[int, str] = {}
    units: dict[int, int] = {}
    for turn in range(6):
        for product in range(1, 13):
            if turn == 0 or (product % 3 and dice.random() < 0.5):
                names[product] = f"{dice.randint(10, 99)} of {product:02}"
                sales.operational.execute(
                    "insert into public.products values (%s, %s, 'g')"
                    " on conflict (id) do update set name = excluded.name",
                    [product, names[product]],
                )
            for qty in (dice.randint(8, 10) * dice.randint(1, spread), 1):
                if qty > 1 or dice.random() < 0.5:
                    units[product] = units.get(product, 0) + qty
                    sales.operational.execute("insert into public.sales values (1, %s, %s)", [product, qty])
        if turn % 2:  # one more is as good as the best
            best, other = max(units, key=lambda product: units[product]), dice.randint(1, 12)
            if missing := units[best] - units[other]:
                units[other] += missing
                sales.operational.execute("insert into public.sales values (1, %s, %s)", [other, missing])
        sales.run()
        assert popular(sales) == min(names[p] for p in units if units[p] == max(units.values())), turn


def test_most_popular_product_reads_the_aggregate(sales: Flow) -> None:
    """No plan of it touches the fact table."""
    sales.seed()
    sales.run()
    with sales.warehouse.connect() as session:
        session.execute("drop table dwh.fact_sales cascade")
        assert session.execute("select dwh.most_popular_product()").fetchone() == ("Saw",)
        assert session.execute("select dwh.most_popular_product(country => 'GB')").fetchone() == ("Saw",)
