"""Changing the capture mode of a mirrored table loses, doubles and re-dates nothing."""

from __future__ import annotations

import pytest

from tests.support import Flow, raises

WATERMARK = "call etl.set_capture('op', 'public.customers', 'watermark', watermark => 'id', full_every => '0 seconds')"


def change(sales: Flow) -> None:
    """Change every table a little at the source."""
    sales.operational.execute(
        "insert into public.customers values (901, 'Late', 'Norway') on conflict (id) do update set name = 'Later';"
        " delete from public.sales where ctid = (select min(ctid) from public.sales);"
        " insert into public.sales values (1, 1, 7), (901, 2, 1)"
    )


@pytest.mark.parametrize("capture", ["full", "log"])
def test_mode_can_be_changed_and_changed_back(sales: Flow, capture: str) -> None:
    """After each change of mode the next run brings mirror and facts level, and old rows keep their batch."""
    sales.operational.execute("call public.generate(2000); alter table public.sales replica identity full")
    sales.run("sales")
    before = sales.warehouse.query("select sale_key, batch_id from dwh.fact_sales order by 1")
    for mode in (capture, "full"):
        if mode == "log":
            name = sales.warehouse.value("select etl.slot_name('sales')")
            sales.operational.execute(
                f"create publication {name} for table public.sales; alter role headrace_source replication"
            )
        sales.warehouse.execute(f"call etl.set_capture('op', 'public.sales', '{mode}')")
        change(sales)
        sales.run("sales")
        for table in ("public.customers", "public.products", "public.sales"):
            sales.assert_mirror_equals_source(table)
    kept = set(sales.warehouse.query("select sale_key, batch_id from dwh.fact_sales"))
    assert len(kept & set(before)) == len(before) - 2
    assert sales.warehouse.value("select count(*) from etl.slot") == 0


def test_watermark_can_follow_full(sales: Flow) -> None:
    """A table goes over to its watermark, and a full comparison still finds what left."""
    sales.operational.execute("call public.generate(2000)")
    sales.run("sales")
    sales.warehouse.execute(WATERMARK)
    change(sales)
    sales.operational.execute("delete from public.customers where id = 3")
    sales.run("sales")
    sales.assert_mirror_equals_source("public.customers")


def test_bad_modes_are_refused(sales: Flow) -> None:
    """Neither an unknown mode nor a half-described one is taken, and nothing changes."""
    for arguments in ("'psychic'", "'watermark'", "'full', inserts_only => true", "'full', watermark => 'id'"):
        with raises("22023", message="customers"):
            sales.warehouse.execute(f"call etl.set_capture('op', 'public.customers', {arguments})")
    assert sales.warehouse.value("select capture from etl.source_table where mirror = 'customers'") == "full"


def test_a_table_registered_again_counts_once(sales: Flow) -> None:
    """What a removed table had brought is withdrawn when it is registered and copied again."""
    sales.operational.execute("call public.generate(2000)")
    sales.run("sales")
    expected = sales.warehouse.query("select sum(lines), sum(units) from dwh.sales_by_day")
    sales.warehouse.execute("call etl.remove_table('op', 'public.sales', force => true)")
    sales.add_table("public.sales", "sales")
    sales.run("sales")
    assert sales.warehouse.query("select count(*), sum(qty) from dwh.fact_sales") == expected
    assert sales.warehouse.query("select sum(lines), sum(units) from dwh.sales_by_day") == expected


def test_a_table_registered_again_may_be_empty(sales: Flow) -> None:
    """A table that is empty when it is registered again withdraws all that it had brought."""
    sales.operational.execute("call public.generate(2000)")
    sales.run("sales")
    sales.warehouse.execute("call etl.remove_table('op', 'public.sales', force => true)")
    sales.operational.execute("truncate public.sales")
    sales.add_table("public.sales", "sales")
    sales.run("sales")
    assert sales.warehouse.query("select count(*) from dwh.fact_sales") == [(0,)]
    assert sales.warehouse.query("select count(*) from dwh.sales_by_product") == [(0,)]
