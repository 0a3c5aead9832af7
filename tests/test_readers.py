"""Readers of dwh see whole batches only, and never wait for a publish."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.support import BackgroundRun, Flow, locked, waiting_for_lock

QUESTIONS = (
    "select count(*), sum(qty) from dwh.fact_sales",
    "select name, country, is_current from dwh.dim_customer order by customer_key",
    "select name, product_group, is_current from dwh.dim_product order by product_key",
    "select sum(lines), sum(units) from dwh.sales_by_day",
    "select sum(lines), sum(units) from dwh.sales_by_product",
    "select dwh.most_popular_product()",
    "select count(*) from dwh.dim_date",
)


def answers(reader: psycopg.Connection) -> list[object]:
    """Ask everything a reader may ask."""
    return [reader.execute(question).fetchall() for question in QUESTIONS]


@pytest.mark.parametrize("first", [True, False], ids=["first load", "later load"])
def test_publish_is_seen_at_once_or_not_at_all(sales: Flow, first: bool) -> None:
    """While everything is written and not yet committed, a reader gets the old answers, without waiting."""
    with sales.warehouse.connect("headrace_reader") as reader:
        reader.execute("set lock_timeout = '1s'; set statement_timeout = '5s'")
        if not first:
            sales.seed()
            sales.run()
        before = answers(reader)
        sales.operational.execute(
            "insert into public.customers values (71, 'New', 'X'); insert into public.products values (71, 'New', 'X');"
            " insert into public.sales values (71, 71, 1000), (1, 1, 5); update public.customers set country = 'YY';"
            " delete from public.sales where qty = 7"
        )
        sales.warehouse.execute("call mrr.capture('sales')")
        with locked(sales.warehouse, "etl.batch", "share"):  # the last thing that a publish writes
            publish = BackgroundRun(sales.warehouse.connect(), "call dwh.publish('sales')")
            waiting_for_lock(sales.warehouse, "etl.batch")
            assert sales.warehouse.query(
                "select from pg_catalog.pg_locks where relation = 'dwh.sales_by_product'::regclass and pid = %s"
                " and mode = 'RowExclusiveLock'",
                [publish.pid],
            ), "the publish has not come to the aggregates yet"
            assert answers(reader) == before
        publish.finish()
        assert answers(reader) != before
        assert reader.execute("select dwh.most_popular_product()").fetchone() == ("New",)
    sales.assert_facts_equal_model()


def test_partitions_are_there_before_their_facts(sales: Flow) -> None:
    """A query planned before a partition is attached would miss what is committed with it: so it is attached before."""
    sales.seed()
    partitions = "select count(*) from pg_partition_tree('dwh.fact_sales') where isleaf and level = 1"
    with (
        sales.warehouse.connect("headrace_reader") as reader,
        locked(sales.warehouse, "dwh.dim_product", "share row exclusive"),
    ):
        run = sales.start()
        waiting_for_lock(sales.warehouse, "dwh.dim_product")
        assert reader.execute(partitions).fetchone() == (1,)
        assert reader.execute("select count(*) from dwh.fact_sales").fetchone() == (0,)
    run.finish()
    sales.assert_facts_equal_model()


def test_facts_and_aggregates_agree_at_any_moment(sales: Flow) -> None:
    """A reader who asks all the time while runs come in gets totals that agree, and only those of whole batches."""
    seen: list[tuple[object, ...]] = []
    ended = threading.Event()

    def read() -> None:
        with sales.warehouse.connect("headrace_reader") as reader:
            while not ended.is_set():
                seen.extend(
                    reader.execute(
                        "select (select coalesce(sum(qty), 0)::bigint from dwh.fact_sales),"
                        " (select coalesce(sum(units), 0)::bigint from dwh.sales_by_day),"
                        " (select coalesce(sum(units), 0)::bigint from dwh.sales_by_product)"
                    ).fetchall()
                )

    reading = threading.Thread(target=read)
    reading.start()
    expected = {0}
    try:
        for _ in range(8):
            sales.operational.execute(
                "insert into public.sales select c, c, 1 from generate_series(1, 200) c;"
                " delete from public.sales where ctid = any (array(select ctid from public.sales limit 20))"
            )
            expected.add(sales.operational.value("select sum(qty) from public.sales"))
            sales.run()
    finally:
        ended.set()
        reading.join()
    assert all(len(set(row)) == 1 for row in seen)
    assert {row[0] for row in seen} <= expected
    assert len({row[0] for row in seen}) > 1
