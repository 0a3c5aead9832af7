"""The dimensions: one version per member and batch, no overlaps, facts on the version of their capture."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from alembic import command

from tests.conftest import alembic
from tests.support import Flow, Row, raises


@dataclass(frozen=True)
class Dimension:
    """One of the sample's dimensions, and where its members come from."""

    name: str
    table: str
    source_attribute: str
    attribute: str

    def versions(self, flow: Flow, member: int) -> list[Row]:
        """Return name, attribute and state of a member's versions, oldest first."""
        return flow.warehouse.query(
            f"select name, {self.attribute}, is_current, is_inferred from dwh.dim_{self.name}"
            f" where {self.name}_id = %s order by valid_from",
            [member],
        )

    def periods(self, flow: Flow, member: int) -> list[Row]:
        """Return whether each version begins where its predecessor ends, and whether only the last one is open."""
        return flow.warehouse.query(
            f"select valid_from = coalesce(lag(valid_to) over w, valid_from), is_current = (valid_to = 'infinity'),"
            f" batch_from = coalesce(lag(batch_to) over w, 0) from dwh.dim_{self.name} where {self.name}_id = %s"
            f" window w as (order by valid_from)",
            [member],
        )


CUSTOMER = Dimension("customer", "public.customers", "country", "country")
PRODUCT = Dimension("product", "public.products", "groupname", "product_group")
BOTH = pytest.mark.parametrize("dimension", [CUSTOMER, PRODUCT], ids=lambda d: d.name)


def put(flow: Flow, dimension: Dimension, member: int, name: str | None, attribute: str | None) -> None:
    """Insert or update a member at the source."""
    flow.operational.execute(
        f"insert into {dimension.table} values (%(id)s, %(name)s, %(a)s)"
        f" on conflict (id) do update set name = %(name)s, {dimension.source_attribute} = %(a)s",
        {"id": member, "name": name, "a": attribute},
    )


def sell(flow: Flow, customer: int, product: int, qty: int) -> None:
    """Insert a sale at the source."""
    flow.operational.execute("insert into public.sales values (%s, %s, %s)", [customer, product, qty])


def capture(flow: Flow) -> int:
    """Capture a batch without publishing it, and return its number."""
    flow.warehouse.execute("call mrr.capture('sales')")
    batch: int = flow.warehouse.value("select max(batch_id) from etl.batch")
    return batch


@BOTH
def test_first_version(sales: Flow, dimension: Dimension) -> None:
    """A new member has one open version from its capture on."""
    put(sales, dimension, 1, "  Ada ", " GB ")
    sales.run()
    assert dimension.versions(sales, 1) == [("Ada", "GB", True, False)]
    assert sales.warehouse.value(
        f"select bool_and(d.valid_from = b.captured_at) from dwh.dim_{dimension.name} d, etl.batch b"
    )


@BOTH
def test_rename_and_change_of_attribute(sales: Flow, dimension: Dimension) -> None:
    """Each change closes a period and opens the next; a row that is written again unchanged does not."""
    put(sales, dimension, 1, "Ada", "GB")
    sales.run()
    put(sales, dimension, 1, "Ada L.", "GB")
    sales.run()
    put(sales, dimension, 1, "Ada L.", "FR")
    sales.run()
    put(sales, dimension, 1, "Ada L.", None)
    sales.run()
    put(sales, dimension, 1, " Ada L. ", " ")
    sales.run()
    assert dimension.versions(sales, 1) == [
        ("Ada", "GB", False, False),
        ("Ada L.", "GB", False, False),
        ("Ada L.", "FR", False, False),
        ("Ada L.", None, True, False),
    ]
    assert set(dimension.periods(sales, 1)) == {(True, True, True)}
    sales.assert_mirrors_equal_source()


@BOTH
def test_last_state_of_a_batch_counts(sales: Flow, dimension: Dimension) -> None:
    """What changed twice between two captures is one new version."""
    put(sales, dimension, 1, "Ada", "GB")
    sales.run()
    put(sales, dimension, 1, "Bob", "GB")
    put(sales, dimension, 1, "Cid", "GB")
    sales.run()
    assert [row[0] for row in dimension.versions(sales, 1)] == ["Ada", "Cid"]


@BOTH
def test_delete_closes_and_reinsert_opens(sales: Flow, dimension: Dimension) -> None:
    """A deleted member has no current version; inserted again, it has a new one after a gap."""
    put(sales, dimension, 1, "Ada", "GB")
    sales.run()
    sales.operational.execute(f"delete from {dimension.table}")
    sales.run()
    assert dimension.versions(sales, 1) == [("Ada", "GB", False, False)]
    put(sales, dimension, 1, "Ada", "GB")
    sales.run()
    assert dimension.versions(sales, 1) == [("Ada", "GB", False, False), ("Ada", "GB", True, False)]
    ((_, closed), (opened, _)) = sales.warehouse.query(
        f"select valid_from, nullif(valid_to, 'infinity') from dwh.dim_{dimension.name} order by valid_from"
    )
    assert closed < opened


@BOTH
def test_several_waiting_batches(sales: Flow, dimension: Dimension) -> None:
    """Batches that wait are published in order: one version each, and each fact on the version of its own batch."""
    put(sales, dimension, 1, "a", "GB")
    sell(sales, 1, 1, 1)
    capture(sales)
    put(sales, dimension, 1, "b", "GB")
    sell(sales, 1, 1, 2)
    capture(sales)
    sales.operational.execute(f"delete from {dimension.table}")
    sell(sales, 1, 1, 3)
    capture(sales)
    put(sales, dimension, 1, "c", "GB")
    sell(sales, 1, 1, 4)
    sales.run()
    assert [row[0] for row in dimension.versions(sales, 1)] == ["a", "b", "c"]
    assert sales.warehouse.query(
        f"select f.qty, d.name from dwh.fact_sales f join dwh.dim_{dimension.name} d using ({dimension.name}_key)"
        " order by 1"
    ) == [(1, "a"), (2, "b"), (3, "b"), (4, "c")]
    sales.assert_facts_equal_model()


@BOTH
def test_clock_going_back(sales: Flow, dimension: Dimension) -> None:
    """Versions keep the order of their batches, at least a microsecond apart, though the source's clock goes back."""
    for name in ("a", "b", "c", "d"):
        put(sales, dimension, 1, name, "GB")
        sell(sales, 1, 1, 1)
        batch = capture(sales)
        sales.warehouse.execute(
            "update etl.batch set captured_at = timestamptz '2020-01-01' - %s * interval '1 hour' where batch_id = %s",
            [batch, batch],
        )
    sales.run()
    assert [row[0] for row in dimension.versions(sales, 1)] == ["a", "b", "c", "d"]
    assert set(dimension.periods(sales, 1)) == {(True, True, True)}
    assert sales.warehouse.value(f"select bool_and(valid_from < valid_to) from dwh.dim_{dimension.name}")
    assert sales.warehouse.query(
        f"select d.name, count(*) from dwh.fact_sales f join dwh.dim_{dimension.name} d using ({dimension.name}_key)"
        " group by 1 order by 1"
    ) == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]
    sales.assert_facts_equal_model()


@BOTH
def test_inferred_member_is_completed_in_place(sales: Flow, dimension: Dimension) -> None:
    """A sale that comes first makes an inferred member; its row completes that one, and the sale counts once."""
    sell(sales, 1, 1, 5)
    sales.run()
    assert dimension.versions(sales, 1) == [(None, None, True, True)]
    key = sales.warehouse.value(f"select {dimension.name}_key from dwh.dim_{dimension.name}")
    put(sales, dimension, 1, "Ada", "GB")
    sell(sales, 1, 1, 2)
    sales.run()
    assert dimension.versions(sales, 1) == [("Ada", "GB", True, False)]
    assert sales.warehouse.query(f"select {dimension.name}_key, qty from dwh.fact_sales order by qty") == [
        (key, 2),
        (key, 5),
    ]
    sales.assert_facts_equal_model()


def test_completed_country_moves_the_aggregate(sales: Flow) -> None:
    """What was sold to an inferred customer counts for the country that becomes known."""
    sell(sales, 1, 1, 5)
    sales.run()
    assert sales.warehouse.query("select country, lines, units from dwh.sales_by_day") == [("(unknown)", 1, 5)]
    put(sales, CUSTOMER, 1, "Ada", "GB")
    sales.run()
    assert sales.warehouse.query("select country, lines, units from dwh.sales_by_day") == [("GB", 1, 5)]
    put(sales, CUSTOMER, 1, "Ada", "FR")
    sell(sales, 1, 1, 1)
    sales.run()
    assert sales.warehouse.query("select country, lines, units from dwh.sales_by_day order by 1") == [
        ("FR", 1, 1),
        ("GB", 1, 5),
    ]


def test_completed_group_moves_the_aggregate(sales: Flow) -> None:
    """What was sold of inferred products counts for the group that becomes known, though nothing is sold with it."""
    groups = "select product_group, country, lines, units from dwh.sales_by_group order by 1, 2"
    put(sales, CUSTOMER, 1, "Ada", "GB")
    for customer, product, units in ((1, 1, 5), (1, 2, 3), (2, 1, 1), (1, 3, 8)):
        sell(sales, customer, product, units)
    sales.run()
    assert sales.warehouse.query(groups) == [("(unknown)", "(unknown)", 1, 1), ("(unknown)", "GB", 3, 16)]
    put(sales, PRODUCT, 1, "Saw", "Tools")
    put(sales, PRODUCT, 2, "Bread", "Food")
    sales.run()
    assert sales.warehouse.query(groups) == [
        ("(unknown)", "GB", 1, 8),
        ("Food", "GB", 1, 3),
        ("Tools", "(unknown)", 1, 1),
        ("Tools", "GB", 1, 5),
    ]
    sales.assert_facts_equal_model()


def test_a_product_in_another_group_keeps_what_was_sold(sales: Flow) -> None:
    """Sales count for the group of their time; with them completed at once, moved, withdrawn and made anew too."""
    put(sales, PRODUCT, 1, "Saw", "Tools")
    for customer, product, units in ((1, 1, 5), (1, 2, 3), (2, 2, 4)):
        sell(sales, customer, product, units)
    sales.run()
    put(sales, CUSTOMER, 1, "Ada", "GB")
    put(sales, PRODUCT, 1, "Saw", "Garden")
    put(sales, PRODUCT, 2, "Bread", "Food")
    sell(sales, 1, 1, 1)
    sell(sales, 1, 2, 2)
    sales.operational.execute("delete from public.sales where (customerid, productid) = (2, 2)")
    sales.run()
    expected = [("Food", "GB", 2, 5), ("Garden", "GB", 1, 1), ("Tools", "GB", 1, 5)]
    groups = "select product_group, country, lines, units from dwh.sales_by_group order by 1, 2"
    assert sales.warehouse.query(groups) == expected
    sales.assert_facts_equal_model()
    for table in ("dwh.dim_product", "dwh.sales_by_day", "mrr.sales"):
        sales.warehouse.call("etl.rebuild", relation=table)
        assert sales.warehouse.query(groups) == expected


def test_groups_are_counted_by_the_upgrade(sales: Flow) -> None:
    """Down and up again with sales in between: the aggregate is that of the facts, and goes on being so."""
    put(sales, PRODUCT, 1, "Saw", "Tools")
    sell(sales, 1, 1, 5)
    sales.run()
    sales.warehouse.close()
    alembic(sales.warehouse.dsn, command.downgrade, "0011")
    assert sales.warehouse.value("select to_regclass('dwh.sales_by_group') is null")
    alembic(sales.warehouse.dsn, command.upgrade, "head")
    sales.assert_facts_equal_model()
    sell(sales, 1, 1, 1)
    put(sales, CUSTOMER, 1, "Ada", "GB")
    sales.run()
    sales.assert_facts_equal_model()
    assert sales.warehouse.query("select product_group, country, lines, units from dwh.sales_by_group") == [
        ("Tools", "GB", 2, 6)
    ]


def test_sale_of_a_deleted_customer(sales: Flow) -> None:
    """A sale to a customer that is gone refers to its last version; none is inferred."""
    put(sales, CUSTOMER, 1, "Ada", "GB")
    sales.run()
    sales.operational.execute("delete from public.customers")
    sales.run()
    sell(sales, 1, 1, 5)
    sales.run()
    assert CUSTOMER.versions(sales, 1) == [("Ada", "GB", False, False)]
    sales.assert_facts_equal_model()


def test_periods_cannot_overlap(sales: Flow) -> None:
    """The database itself refuses a version that overlaps another one."""
    put(sales, CUSTOMER, 1, "Ada", "GB")
    sales.run()
    with raises("23P01"):
        sales.warehouse.execute(
            "insert into dwh.dim_customer (source, customer_id, valid_from, valid_to, is_current, batch_from)"
            " values ('op', 1, now() + interval '1 day', now() + interval '2 days', false, 99)"
        )


def test_any_dimension(sales: Flow) -> None:
    """The routine that loads customers and products loads a dimension that was only registered."""
    sales.operational.execute("create table public.shops (id int primary key, town text, size int)")
    sales.operational.execute("insert into public.shops values (1, 'York', 3), (2, 'Bath', 5)")
    sales.add_table("public.shops", "sales")
    sales.warehouse.execute(
        """
        set role headrace_owner;
        create table dwh.dim_shop (
            shop_key bigint generated always as identity primary key, source text not null, shop_id bigint not null,
            town text, size int, valid_from timestamptz not null, valid_to timestamptz not null default 'infinity',
            is_current boolean not null default true, is_inferred boolean not null default false,
            batch_from bigint not null, batch_to bigint not null default 9223372036854775807,
            unique (source, shop_id, batch_from)
        );
        create function stg.shop(p_batch bigint)
        returns table (change_seq bigint, op "char", origin bigint, source text, shop_id bigint, town text, size int,
                       reason text)
        language sql stable as $$
            select _hr_seq, _hr_op, coalesce(_hr_origin, _hr_batch), 'op', id, town, size, null
            from stg.shops_changes where _hr_batch = p_batch
        $$;
        insert into etl.stage values ('stg.shop', 'shops');
        insert into etl.dimension (dimension, stage, surrogate_key, business_key, attributes)
        values ('dwh.dim_shop', 'stg.shop', 'shop_key', 'shop_id', '{town,size}');
        insert into etl.step (pipeline, step, routine, target, stages)
        values ('sales', 'dim_shop', 'dwh.load_dimension', 'dwh.dim_shop', '{stg.shop}');
        reset role
        """
    )
    sales.run()
    sales.operational.execute("update public.shops set size = 4 where id = 1; delete from public.shops where id = 2")
    sales.run()
    assert sales.warehouse.query("select shop_id, town, size, is_current from dwh.dim_shop order by 1, valid_from") == [
        (1, "York", 3, False),
        (1, "York", 4, True),
        (2, "Bath", 5, False),
    ]
