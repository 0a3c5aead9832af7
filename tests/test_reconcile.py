"""Reconcile finds every damage of a mirror, and only damage, and mends it."""

from __future__ import annotations

import pytest

from tests.capture import PIPELINE, add_log_table, keyed_and_keyless, log_sample, logged, may_replicate
from tests.support import Database, Flow, raises
from tests.test_log_capture import KEYED, KEYLESS, writers

ROWS = "insert into public.t select n, 'a' || n, null from generate_series(1, 3000) n"
DAMAGE = {
    "missing": ("delete from mrr.t where id in (7, 8, 9)", 3),
    "surplus": ("insert into mrr.t select {columns} from mrr.t where id = 5", 1),
    "changed": ("update mrr.t set a = 'other' where id = 11", 2),
    "null for an empty string": ("update mrr.t set b = '' where id = 12", 2),
    "all gone": ("delete from mrr.t", 3000),
}


def compared(flow: Flow) -> tuple[int, int, int, int]:
    """Return what the last comparison counted: rows at the source and here, buckets and rows that differ."""
    rows: tuple[int, int, int, int] = flow.warehouse.row(
        "select rows_source, rows_mirror, buckets_different, rows_different from etl.reconciliation"
        " order by reconciliation_id desc limit 1"
    )
    return rows


@keyed_and_keyless
def test_damage_is_found_and_mended(source: Flow, keyed: bool) -> None:
    """Five kinds of damage, each found, named row by row, and mended; before and after, nothing is found."""
    logged(source, KEYED if keyed else KEYLESS, ROWS)
    source.warehouse.call("etl.reconcile", source="op", source_table="public.t")
    assert compared(source) == (3000, 3000, 0, 0)
    columns = "id + 10000, a, b, _hr_batch" if keyed else "id, a, b, _hr_batch, _hr_hash, 100000 + _hr_id"
    for damage, rows in DAMAGE.values():
        statement = damage.format(columns=columns)
        if "insert" in statement and not keyed:
            statement = statement.replace(
                "insert into mrr.t", "insert into mrr.t (id, a, b, _hr_batch, _hr_hash, _hr_id) overriding system value"
            )
        source.warehouse.execute(statement)
        source.warehouse.call("etl.reconcile", source="op", source_table="public.t", repair=False)
        assert compared(source)[3] == rows, statement
        listed = source.warehouse.value(
            "select count(*) from etl.difference"
            " where reconciliation_id = (select max(reconciliation_id) from etl.reconciliation)"
        )
        assert listed == min(rows, 100)
        source.warehouse.call("etl.reconcile", repair=True)
        source.assert_mirror_equals_source("public.t")
        source.warehouse.call("etl.reconcile")
        assert compared(source) == (3000, 3000, 0, 0)
    source.operational.execute("insert into public.t values (9999, 'x', null); delete from public.t where id < 10")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


@keyed_and_keyless
def test_exact_while_written_to(source: Flow, keyed: bool) -> None:
    """Changes that are still in the slot are no difference, a damage beside them is, and comparing changes nothing."""
    logged(source, KEYED if keyed else KEYLESS, ROWS)
    statement = (
        "insert into public.t values (100000 + $1, 'w', null);"
        " update public.t set a = $1::text where id = 1 + $1 % 900;"
        " delete from public.t where id = 100000 + $1 - 5"
    )
    with writers(
        source.operational,
        statement,
        "begin; truncate public.t; " + ROWS + "; commit; select pg_sleep(0.3)",
        settings="set synchronous_commit = off",
    ):
        for _ in range(4):
            source.warehouse.call("etl.reconcile", source="op", source_table="public.t")
            assert compared(source)[2:] == (0, 0)
        source.warehouse.execute(
            "insert into mrr.t (id, a, b, _hr_batch{}) values (-1, 'damage', null, 1{})".format(
                *(("", "") if keyed else (", _hr_hash", ", 0"))
            )
        )
        source.run(PIPELINE)
        before = source.warehouse.value("select count(*) from mrr.t")
        source.warehouse.call("etl.reconcile", source="op", source_table="public.t")
        assert source.warehouse.value("select count(*) from mrr.t") == before
    source.operational.execute("insert into public.t values (0, 'flushes all before it', null)")
    source.run(PIPELINE)
    source.warehouse.execute("delete from mrr.t where id = -1")
    source.assert_mirror_equals_source("public.t")


def test_repair_reaches_dwh(operational: Database, warehouse: Database) -> None:
    """What is mended in a mirror is mended in the facts that were loaded from it."""
    flow = log_sample(operational, warehouse)
    flow.seed()
    flow.run()
    operational.execute("insert into public.sales values (2, 2, 2)")
    warehouse.execute("delete from mrr.sales where customerid = 1; delete from mrr.customers where id = 2")
    warehouse.call("etl.reconcile", repair=True)
    flow.run()
    flow.assert_mirrors_equal_source()
    flow.assert_facts_equal_model()


def test_tables_of_other_modes(source: Flow) -> None:
    """A table captured in full can be compared too; what was changed since counts as different."""
    source.operational.execute(f"{KEYED}; {ROWS}")
    source.add_table("public.t", PIPELINE)
    source.run(PIPELINE)
    source.warehouse.call("etl.reconcile", source="op", source_table="public.t")
    assert compared(source) == (3000, 3000, 0, 0)
    source.operational.execute("delete from public.t where id = 1")
    source.warehouse.call("etl.reconcile", source="op", source_table="public.t")
    assert compared(source) == (2999, 3000, 1, 1)


def test_masked_columns(source: Flow) -> None:
    """Truncated columns are compared truncated, dropped ones not at all, and hashed ones are left out."""
    source.operational.execute("create table public.t (id int primary key, gone text, mail text, code text)")
    source.operational.execute("insert into public.t values (1, 'g', 'm', 'code'), (2, null, null, null)")
    may_replicate(source.operational)
    add_log_table(source, "public.t", drop_columns=["gone"], hash_columns=["mail"], truncate_columns='{"code": 2}')
    source.run(PIPELINE)
    source.operational.execute("update public.t set gone = 'h'; update public.t set code = 'cope' where id = 1")
    source.warehouse.call("etl.reconcile")
    assert compared(source) == (2, 2, 0, 0)


def test_other_encoding(source: Flow) -> None:
    """Letters beyond ASCII are no difference."""
    logged(source, KEYED, "insert into public.t values (1, 'Привет 🐘', 'áé')")
    source.warehouse.call("etl.reconcile")
    assert compared(source) == (1, 1, 0, 0)


def test_unknown_table(source: Flow) -> None:
    """A table that is not mirrored is named."""
    with raises("42704"):
        source.warehouse.call("etl.reconcile", source="op", source_table="public.nothing")


@pytest.mark.parametrize("user", ["headrace_runner"])
def test_runner_may_reconcile(source: Flow, user: str) -> None:
    """The role of the jobs may compare and repair."""
    logged(source, KEYED, ROWS)
    source.warehouse.execute("delete from mrr.t where id = 1")
    with source.warehouse.connect(user) as session:
        session.execute("call etl.reconcile(repair => true)")
    source.assert_mirror_equals_source("public.t")
