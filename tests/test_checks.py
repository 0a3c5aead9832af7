"""Checks: what a publish must pass before readers see it; the limit of quarantine; the dry run."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.capture import add_log_table, may_replicate
from tests.support import Flow, Row, raises

ALL = (
    "select c.check_name, c.severity, c.status, c.rows_found::int from etl.check_log as c"
    " where c.run_id = (select max(run_id) from etl.run_log) order by c.check_log_id"
)


def checked(flow: Flow) -> list[Row]:
    """Return name, severity, status and rows of the checks of the newest run."""
    return flow.warehouse.query(ALL)


def add(flow: Flow, kind: str, *arguments: object, severity: str = "error") -> None:
    """Register a built-in check named ``it`` in pipeline ``sales``."""
    marks = "".join(", %s" for _ in arguments)
    flow.warehouse.execute(
        f"call etl.add_check_{kind}('sales'{marks}, severity => %s, name => 'it')", [*arguments, severity]
    )


def stopped(flow: Flow) -> None:
    """Run, and see a check stop the publish."""
    with raises("23514", message="checks failed: it", hint="etl.check_log"):
        flow.run()
    assert flow.last_run() == ("failed",)


# ----------------------------------------------------------------------------------------------------------------------
# Write, audit, publish
# ----------------------------------------------------------------------------------------------------------------------
def test_error_stops_the_publish(sales: Flow) -> None:
    """Readers see nothing of a publish that a check stopped; the log keeps a bounded sample of the offending rows."""
    sales.seed()
    sales.run()
    sales.warehouse.execute("update etl.settings set check_sample = 2")
    sales.warehouse.execute(
        "call etl.add_check('sales', 'small', 'error', 'select sale_key, qty from dwh.fact_sales where qty > 100;')"
    )
    sales.operational.execute("insert into public.sales select 1, 1, 200 + n from generate_series(1, 5) n")
    before = sales.warehouse.query("select * from dwh.fact_sales order by sale_key")
    with raises("23514", message="checks failed: small (5 rows)"):
        sales.run()
    assert sales.warehouse.query("select * from dwh.fact_sales order by sale_key") == before
    assert sales.warehouse.query(
        "select c.status, c.rows_found::int, jsonb_array_length(c.sample), c.sample #>> '{0,qty}' like '20%%',"
        " c.first_batch = c.last_batch, r.status from etl.check_log c join etl.run_log r using (run_id)"
    ) == [("failed", 5, 2, True, True, "failed")]
    assert sales.warehouse.query("select step, status from etl.step_log where step = 'checks' order by step_log_id")[
        -1
    ] == (
        "checks",
        "failed",
    )
    assert sales.warehouse.value("select pending_changes from etl.status where pipeline = 'sales'") == 5

    # what mends the batch is published together with it
    sales.operational.execute("delete from public.sales where qty > 100")
    sales.run()
    assert checked(sales) == [("small", "error", "passed", 0)]
    sales.assert_facts_equal_model()


def test_warn_only_logs(sales: Flow) -> None:
    """A check of severity warn lets the publish through."""
    sales.seed()
    sales.warehouse.execute(
        "call etl.add_check('sales', 'known', 'warn', 'select * from dwh.dim_customer where is_inferred')"
    )
    sales.run()
    assert checked(sales) == [("known", "warn", "warned", 1)]
    assert sales.last_run() == ("succeeded",)
    sales.assert_facts_equal_model()


def test_checks_run_only_when_something_changed(sales: Flow) -> None:
    """A run that publishes no change checks nothing."""
    sales.warehouse.execute("call etl.add_check('sales', 'never', 'error', 'select 1')")
    sales.run()
    assert checked(sales) == []
    assert sales.last_run() == ("succeeded",)


def test_check_that_fails_itself(sales: Flow) -> None:
    """A query that raises stops the publish with its own SQLSTATE, and the message names the check."""
    sales.seed()
    sales.warehouse.execute(
        "call etl.add_check('sales', 'odd', 'warn', 'select 1 / (qty - qty) from dwh.fact_sales -- no good')"
    )
    with raises("22012", message="check odd"):
        sales.run()
    assert sales.warehouse.query("select * from dwh.fact_sales") == []
    sales.warehouse.execute("call etl.remove_check('sales', 'odd')")
    sales.run()
    sales.assert_facts_equal_model()


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("'nope', 'x', 'warn', 'select 1'", "42704", "there is no pipeline nope"),
        ("'sales', 'x', 'fatal', 'select 1'", "22023", "severity fatal"),
        ("'sales', 'x', null, 'select 1'", "22023", "severity null"),
        ("'sales', null, 'warn', 'select 1'", "22023", "name"),
        ("'sales', 'x', 'warn', null", "22023", "query"),
        ("'sales', 'x', 'warn', 'select * from dwh.nope'", "42P01", "check x of pipeline sales does not work"),
        ("'sales', 'x', 'warn', 'delete from dwh.fact_sales'", "42601", "check x of pipeline sales does not work"),
        (
            "'sales', 'x', 'warn', 'select 1) q) t; drop table dwh.fact_sales; select from (select from (select 1'",
            "42P11",
            "check x of pipeline sales does not work",
        ),
    ],
)
def test_refused_checks(sales: Flow, arguments: str, sqlstate: str, message: str) -> None:
    """What cannot work is refused at registration, and nothing of it is kept."""
    with raises(sqlstate, message=message):
        sales.warehouse.execute(f"call etl.add_check({arguments})")
    assert sales.warehouse.query("select * from etl.check_rule") == []
    assert sales.warehouse.value("select to_regclass('dwh.fact_sales') is not null")


def test_change_disable_remove(sales: Flow) -> None:
    """Registered again a check is changed; disabled it is left out; removed it is gone, and its log stays."""
    sales.seed()
    wh = sales.warehouse
    wh.execute("call etl.add_check('sales', 'a', 'error', 'select 1')")
    wh.execute("call etl.add_check('sales', 'a', 'warn', 'select 2')")
    assert wh.query("select severity, query from etl.check_rule") == [("warn", "select 2")]
    sales.run()
    wh.execute("update etl.check_rule set enabled = false")
    sales.operational.execute("insert into public.sales values (1, 1, 1)")
    sales.run()
    assert checked(sales) == []
    wh.execute("call etl.remove_check('sales', 'a')")
    with raises("42704", message="pipeline sales has no check a"):
        wh.execute("call etl.remove_check('sales', 'a')")
    assert wh.query("select status from etl.check_log") == [("warned",)]


# ----------------------------------------------------------------------------------------------------------------------
# Built-in checks: each passes, and finds what it is for
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "arguments", "offence", "found"),
    [
        ("not_null", ["mrr.customers", "country"], "insert into public.customers values (5, 'x', null)", 1),
        ("unique", ["mrr.products", ["name"]], "insert into public.products values (8, 'Saw', 'x')", 1),
        (
            "unique",
            ["mrr.products", ["name", "groupname"]],
            "insert into public.products values (8, 'Saw', 'Tools')",
            1,
        ),
        (
            "accepted_values",
            ["mrr.customers", "country", ["GB", "SE", "it's"]],
            "insert into public.customers values (5, 'x', 'FR'), (6, 'x', null), (7, 'y', 'it''s')",
            1,
        ),
        (
            "relationship",
            ["mrr.sales", "customerid", "mrr.customers", "id"],
            "insert into public.sales values (77, 1, 1), (77, 1, 1), (null, 1, 1)",
            2,
        ),
        (
            "sum_preserved",
            ["select sum(qty) from mrr.sales where qty > 0", "select sum(qty) from dwh.fact_sales"],
            "insert into public.sales values (null, 1, 4)",
            1,
        ),
    ],
)
def test_built_in(sales: Flow, kind: str, arguments: list[object], offence: str, found: int) -> None:
    """It passes on good rows, finds the offending ones, and passes again once they are mended."""
    sales.operational.execute(
        "insert into public.customers values (1, 'Ada', 'GB'), (2, 'Bo', 'SE');"
        " insert into public.products values (1, 'Saw', 'Tools'); insert into public.sales values (1, 1, 2), (2, 1, 1)"
    )
    add(sales, kind, *arguments)
    sales.run()
    assert checked(sales) == [("it", "error", "passed", 0)]
    sales.operational.execute(offence)
    stopped(sales)
    assert checked(sales) == [("it", "error", "failed", found)]
    sales.operational.execute(
        "delete from public.customers where id > 2; delete from public.products where id > 1;"
        " delete from public.sales where customerid is null or customerid > 2"
    )
    sales.run()
    assert checked(sales) == [("it", "error", "passed", 0)]
    sales.assert_facts_equal_model()


def test_freshness(sales: Flow) -> None:
    """A batch that waited too long between capture and publish is found."""
    sales.seed()
    add(sales, "freshness", "1 hour")
    sales.warehouse.execute("call mrr.capture('sales')")
    sales.warehouse.execute("update etl.batch set captured_at = captured_at - interval '2 hours'")
    sales.warehouse.execute("call dwh.publish('sales')")
    assert sales.last_run() == ("failed",)
    assert checked(sales) == [("it", "error", "failed", 1)]
    sales.operational.execute("insert into public.sales values (1, 1, 1)")
    sales.run()
    assert checked(sales) == [("it", "error", "passed", 0)]


def test_row_count_change(sales: Flow) -> None:
    """A batch that changes far more rows than those before it is found; the first one and usual ones are not."""
    sales.operational.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 1000)")
    add(sales, "row_count_change", "sales", Decimal("0.1"))
    sales.run()
    assert checked(sales) == [("it", "error", "passed", 0)]
    for _ in range(3):
        sales.operational.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 50)")
        sales.run()
        assert checked(sales) == [("it", "error", "passed", 0)]
    sales.operational.execute("delete from public.sales")
    stopped(sales)
    assert checked(sales)[0][2:] == ("failed", 1)


def test_names_by_default_and_in_quotes(sales: Flow) -> None:
    """A built-in check is named for what it says, and takes tables and columns of any name."""
    wh = sales.warehouse
    sales.operational.execute(
        'create table public."Odd ""%I $$ Table" ("a\'b" int, "%s" text);'
        ' insert into public."Odd ""%I $$ Table" values (1, null)'
    )
    sales.add_table('public."Odd ""%I $$ Table"', "sales", mirror="odd \"%I $$ '")
    wh.execute("call etl.add_check_not_null('sales', 'mrr.\"odd \"\"%%I $$ ''\"', '%%s', 'warn')", [])
    wh.execute("call etl.add_check_unique('sales', 'mrr.\"odd \"\"%%I $$ ''\"', array['a''b', '%%s'], 'warn')", [])
    wh.execute("call etl.add_check_row_count_change('sales', 'odd \"%%I $$ ''', 0.5, severity => 'warn')", [])
    sales.run()
    assert [status for _, _, status, _ in checked(sales)] == ["warned", "passed", "passed"]
    assert checked(sales)[0][0] == 'mrr."odd ""%I $$ \'".%s is not null'


# ----------------------------------------------------------------------------------------------------------------------
# The limit of quarantine
# ----------------------------------------------------------------------------------------------------------------------
def test_too_much_quarantine_is_a_defect(sales: Flow) -> None:
    """Beyond the share that one reason may take of a change set, the publish stops and says so; nothing is lost."""
    sales.seed()
    sales.run()
    before = sales.warehouse.query("select * from stg.quarantine order by 1")
    sales.operational.execute(
        "insert into public.sales select 1, 1, case when n <= 700 then 0 else 1 end from generate_series(1, 1200) n"
    )
    with raises("23514", message="700 of 1200 rows of sales", hint="quarantine_share"):
        sales.run()
    assert sales.warehouse.query("select * from stg.quarantine order by 1") == before
    sales.warehouse.execute("update etl.settings set quarantine_share = 0.6")
    sales.run()
    sales.assert_facts_equal_model()


def test_little_quarantine_is_dirt(sales: Flow) -> None:
    """Small change sets, and several reasons that are each below the share, go through."""
    sales.operational.execute("insert into public.sales select 1, 1, 0 from generate_series(1, 999)")
    sales.run()
    sales.operational.execute(
        "insert into public.sales select case when n % 3 <> 1 then 1 end, case when n % 3 <> 2 then 1 end,"
        " case when n % 3 = 0 then 0 else 1 end from generate_series(1, 1200) n"
    )
    sales.run()
    assert sales.last_run() == ("succeeded",)
    sales.assert_facts_equal_model()


# ----------------------------------------------------------------------------------------------------------------------
# The dry run
# ----------------------------------------------------------------------------------------------------------------------
def test_dry_run(sales: Flow) -> None:
    """It reports what would change and what the checks say, and leaves nothing but its log."""
    sales.seed()
    sales.run()
    sales.warehouse.execute("call etl.add_check('sales', 'w', 'warn', 'select 1')")
    sales.operational.execute("insert into public.sales values (1, 1, 5)")
    tables = ("mrr.sales", "stg.sales_changes", "dwh.fact_sales", "dwh.sales_by_day", "etl.batch", "stg.quarantine")
    question = " union all ".join(f"select '{table}', t::text from {table} as t" for table in tables) + " order by 1, 2"
    before = sales.warehouse.query(question)
    sales.run(dry_run=True)
    assert sales.warehouse.query(question) == before
    status, dry_run, message = sales.last_run("status, dry_run, message")
    assert (status, dry_run) == ("succeeded", True)
    assert "dry run, rolled back" in message
    assert "1 changes captured, 1 published" in message
    assert checked(sales) == [("w", "warn", "warned", 1)]
    sales.warehouse.execute("call etl.add_check('sales', 'e', 'error', 'select 1')")
    with raises("23514"):
        sales.run(dry_run=True)
    assert sales.warehouse.query(question) == before


def test_dry_run_does_not_advance_the_slot(source: Flow) -> None:
    """A table captured by log: the slot stays where it is, and the next run delivers what the dry run reported."""
    may_replicate(source.operational)
    source.operational.execute("create table public.t (id int primary key)")
    add_log_table(source, "public.t")
    source.run("log")
    source.operational.execute("insert into public.t values (1), (2)")
    slot = "select confirmed_flush_lsn from pg_catalog.pg_replication_slots where database = current_database()"
    before = source.operational.query(slot)
    source.run("log", dry_run=True)
    assert source.operational.query(slot) == before
    assert source.warehouse.query("select * from mrr.t") == []
    source.run("log")
    source.assert_mirror_equals_source("public.t")
    source.warehouse.execute("call etl.remove_table('op', 'public.t', force => true)")
