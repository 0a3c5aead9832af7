"""The sample's operational database: its tables, its generator, its sellers, and the role that a source's DBA makes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from tests.psql import psql
from tests.support import Database, raises, waiting_for_lock

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROLE = str(ROOT / "db" / "source.sql")
TABLES = ("customers", "products", "sales")
INVALID = "customerid is null or productid is null or qty is null or qty <= 0"


@pytest.fixture
def shop(operational: Database) -> Database:
    """Return the operational database with its routines, empty."""
    for name in ("schema", "generate", "sell"):
        operational.execute((ROOT / "db" / "operational" / f"{name}.sql").read_text(encoding="utf-8"))
    return operational


def contents(shop: Database) -> list[object]:
    """Return a hash over the rows of each table, whatever their order."""
    return [shop.value(f"select sum(pg_catalog.hashtextextended(t::text, 0)) from public.{name} t") for name in TABLES]


def counts(shop: Database) -> list[int]:
    """Return how many customers, products and sales there are."""
    return [shop.value(f"select count(*) from public.{name}") for name in TABLES]


def empty(shop: Database) -> None:
    """Take all rows away."""
    shop.execute("truncate public.customers, public.products, public.sales")


def test_tables_are_exactly_those(shop: Database) -> None:
    """Three tables with these columns, sales without a key."""
    assert shop.query(
        "select table_name, string_agg(column_name || ' ' || data_type, ', ' order by ordinal_position)"
        " from information_schema.columns where table_schema = 'public' group by table_name order by table_name"
    ) == [
        ("customers", "id integer, name text, country text"),
        ("products", "id integer, name text, groupname text"),
        ("sales", "customerid integer, productid integer, qty integer"),
    ]
    assert shop.query(
        "select c.relname, i.indisprimary, pg_get_indexdef(i.indexrelid, 1, true) from pg_catalog.pg_index i"
        " join pg_catalog.pg_class c on c.oid = i.indrelid where c.relnamespace = 'public'::regnamespace order by 1"
    ) == [("customers", True, "id"), ("products", True, "id")]


def test_routines_have_no_finding(shop: Database) -> None:
    """plpgsql_check, with all its warnings, finds nothing in them, and they are closed to the public."""
    shop.execute("create extension plpgsql_check schema public")
    routines = [("generate(bigint,integer)",), ("sell(integer)",)]
    assert (
        shop.query(
            "select oid::regprocedure::text from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace"
            " and prokind = 'p' and not has_function_privilege('public', oid, 'execute') order by 1"
        )
        == routines
    )
    for (routine,) in routines:
        assert (
            shop.query(
                "select * from public.plpgsql_check_function_tb(%s::regprocedure, other_warnings => true,"
                " extra_warnings => true, performance_warnings => true, security_warnings => true)",
                [routine],
            )
            == []
        )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, [20, 20, 0]), (1, [20, 20, 1]), (4_000, [40, 20, 4_000]), (50_000, [500, 50, 50_000])],
)
def test_customers_and_products_scale_with_sales(shop: Database, rows: int, expected: list[int]) -> None:
    """A hundredth and a thousandth of the sales, twenty at least."""
    shop.call("public.generate", rows=rows)
    assert counts(shop) == expected


def test_generated_data_repeats_by_seed(shop: Database) -> None:
    """The same seed gives the same rows, another one others, a negative one too."""
    seen = []
    for seed in (7, 7, 8, -7):
        empty(shop)
        shop.call("public.generate", rows=3_000, seed=seed)
        seen.append(contents(shop))
    assert seen[0] == seen[1]
    for table in range(len(TABLES)):
        assert len({str(one[table]) for one in seen}) == 3


def test_generated_data_is_believable(shop: Database) -> None:
    """Countries by weight, groups with several products, unique names, a few bestsellers and a long tail, no orphan."""
    shop.call("public.generate", rows=100_000)
    assert shop.query("select country from public.customers group by 1 order by count(*) desc limit 1") == [
        ("United States",)
    ]
    assert shop.value("select count(distinct country) from public.customers") > 20
    assert shop.value("select count(*) = count(distinct name) from public.products")
    assert shop.value("select count(distinct groupname) from public.products") == 12
    assert shop.value("select count(*) from public.customers where name !~ '^[A-Z][a-z]+( [A-Za-z]+)+$'") == 0
    assert shop.value(f"select count(*) from public.sales where {INVALID}") == 0
    assert (
        shop.value(
            "select count(*) from public.sales s"
            " where not exists (select from public.customers c where c.id = s.customerid)"
            " or not exists (select from public.products p where p.id = s.productid)"
        )
        == 0
    )
    units = [n for (n,) in shop.query("select sum(qty) from public.sales group by productid order by 1 desc")]
    assert len(units) == 100
    assert 0.4 < sum(units[:10]) / sum(units) < 0.7
    assert 0 < sum(units[50:]) / sum(units) < 0.25


@pytest.mark.parametrize("table", TABLES)
def test_generate_overwrites_nothing(shop: Database, table: str) -> None:
    """One row in any of the tables is enough to refuse, and the error says what to do."""
    shop.execute(f"insert into public.{table} values (1)")
    before = counts(shop)
    with raises("55000", message="not all empty", hint="truncate"):
        shop.call("public.generate", rows=100)
    assert counts(shop) == before


@pytest.mark.parametrize("arguments", [{"rows": -1}, {"rows": None}, {"rows": 10**10}, {"seed": None}])
def test_generate_refuses_other_arguments(shop: Database, arguments: dict[str, object]) -> None:
    """Sizes that make no sense are refused."""
    with raises("22023", message="cannot generate", hint="call public.generate"):
        shop.call("public.generate", **arguments)


def test_shop_lives(shop: Database) -> None:
    """In 200 rounds everything happens that can happen, and sales add up."""
    shop.call("public.generate", rows=5_000)
    shop.execute("create table before_customers as table public.customers")
    shop.execute("create table before_products as table public.products")
    shop.execute("select setseed(0.42)")
    cancelled = 0
    for _ in range(200):
        before = counts(shop)[2]
        invalid = shop.value(f"select count(*) from public.sales where {INVALID}")
        shop.call("public.sell", sales=3)
        added = 3 + shop.value(f"select count(*) from public.sales where {INVALID}") - invalid
        gone = before + added - counts(shop)[2]
        assert gone in (0, 1)
        cancelled += gone
    assert cancelled > 20
    assert shop.value(f"select count(*) from public.sales where {INVALID}") > 5
    assert (
        shop.value(
            "select count(distinct (customerid is null, productid is null, qty)) from public.sales where " + INVALID
        )
        == 3
    )
    assert counts(shop)[0] - 50 > 20
    assert (
        shop.value(
            "select count(*) from public.customers where name !~ '^[A-Z][a-z]+( [A-Za-z]+)+$' or country is null"
        )
        == 0
    )
    assert (
        shop.value(
            "select count(*) from public.customers c join before_customers b using (id) where c.country <> b.country"
        )
        > 3
    )
    assert (
        shop.value("select count(*) from public.products p join before_products b using (id) where p.name <> b.name")
        > 2
    )


def test_a_cancelled_sale_is_one_row(shop: Database) -> None:
    """Of equal sales one is cancelled at a time, until none is left."""
    shop.execute("insert into public.customers values (1, 'Ada Bauer', 'Austria')")
    shop.execute("insert into public.products values (1, 'Alpine Tent', 'Outdoor')")
    shop.execute("insert into public.sales select 1, 1, 1 from generate_series(1, 5)")
    left = [5]
    for _ in range(200):
        shop.call("public.sell", sales=0)
        left.append(shop.value("select count(*) from public.sales where customerid = 1 and productid = 1 and qty = 1"))
    assert {before - after for before, after in pairwise(left)} == {0, 1}
    assert left[-1] == 0


def test_sell_says_what_is_wrong(shop: Database) -> None:
    """Nothing to sell, or a number of sales that is none."""
    with raises("55000", message="is empty", hint="call public.generate()"):
        shop.call("public.sell")
    shop.call("public.generate", rows=0)
    for wrong in (-1, None):
        with raises("22023", message="cannot make", hint="call public.sell(20)"):
            shop.call("public.sell", sales=wrong)


def test_selling_job_is_a_call_that_works(shop: Database) -> None:
    """The job's file gives a schedule, a command and who runs it."""
    shop.call("public.generate", rows=100)
    schedule, command, username = shop.row((ROOT / "jobs" / "operational" / "sell.sql").read_text(encoding="utf-8"))
    assert (schedule, username) == ("* * * * *", shop.server.user)
    shop.execute(command)
    assert counts(shop)[2] in (119, 120, 121)


@pytest.fixture
def reader(operational: Database) -> Iterator[str]:
    """Yield the name of a role that does not exist yet; take it away at the end."""
    name = 'The "source" reader'
    yield name
    operational.execute("drop schema if exists archive cascade")
    if operational.query("select from pg_catalog.pg_roles where rolname = %s", [name]):
        operational.execute('drop owned by "The ""source"" reader"; drop role "The ""source"" reader"')


def make_role(operational: Database, role: str, *arguments: str, **variables: str) -> None:
    """Run the script as a source's DBA does."""
    result = psql(operational, "-v", f"role={role}", *arguments, "-f", SOURCE_ROLE, **variables)
    assert (result.returncode, result.stderr) == (0, "")


def test_source_role_goes_beside_an_analyze(operational: Database, reader: str) -> None:
    """An ANALYZE that has a table to be published and is about to note its size is waited for, and waits for nobody."""
    operational.execute("insert into public.products select n, 'p', 'g' from generate_series(1, 100) n")
    with operational.connect(autocommit=False) as analyst, ThreadPoolExecutor() as executor:
        analyst.execute("lock table public.products in share update exclusive mode")
        made = executor.submit(
            make_role, operational, reader, "-v", "publication=shop", "-v", "tables=customers,products",
            HEADRACE_SOURCE_PASSWORD="x",
        )  # fmt: skip
        waiting_for_lock(operational, "public.products")
        analyst.execute("analyze public.products")
        analyst.commit()
        made.result()
    assert operational.query("select tablename from pg_catalog.pg_publication_tables order by 1") == [
        ("customers",),
        ("products",),
    ]
    operational.execute("drop publication shop")


def test_source_role_reads_and_does_nothing_else(operational: Database, reader: str) -> None:
    """It reads every table of the schema, and cannot write, create or read elsewhere, even if it wants to."""
    operational.execute("create schema archive; create table archive.old (a int)")
    make_role(operational, reader, HEADRACE_SOURCE_PASSWORD="it's one")
    operational.server.passwords[reader] = "it's one"
    with psycopg.connect(
        host=operational.server.host,
        port=operational.server.port,
        dbname=operational.name,
        user=reader,
        password="it's one",
        autocommit=True,
    ) as session:
        for table in TABLES:
            session.execute(f"select * from public.{table}")
        with raises("25006"):
            session.execute("delete from public.sales")
        session.execute("set default_transaction_read_only = off")
        for statement in ("delete from public.sales", "create schema mine", "select * from archive.old"):
            with raises("42501"):
                session.execute(statement)
    assert (
        operational.row(
            "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
            " from pg_catalog.pg_roles where rolname = %s",
            [reader],
        )
        == (False,) * 5
    )


def test_source_role_again_adds_a_schema_and_keeps_the_password(operational: Database, reader: str) -> None:
    """A second run grants what is new; without a password it leaves the old one."""
    operational.execute("create schema archive; create table archive.old (a int)")
    make_role(operational, reader, HEADRACE_SOURCE_PASSWORD="one")
    password = "select rolpassword from pg_catalog.pg_authid where rolname = %s"
    before = operational.value(password, [reader])
    make_role(operational, reader, "-v", "schema=archive")
    assert operational.value(password, [reader]) == before
    assert operational.value("select has_table_privilege(%s::name, 'archive.old', 'select')", [reader])
    make_role(operational, reader, HEADRACE_SOURCE_PASSWORD="another")
    assert operational.value(password, [reader]) != before
