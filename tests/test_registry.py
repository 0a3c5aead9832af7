"""The registry: one call mirrors a table, what it is given is checked, and errors say what to do."""

from __future__ import annotations

import hashlib

import pytest

from tests.conftest import SOURCE_ROLE
from tests.support import Flow, locked, raises, waiting_for_lock

ORDERS = """
create table public.orders (id int primary key, code text not null unique, note text, email text, phone bigint);
insert into public.orders values (1, 'a', 'first', 'ada@example.com', 441234), (2, 'b', null, 'ada@example.com', null);
create table public.lines (order_id int, item text);
insert into public.lines values (1, 'x'), (1, 'x'), (2, 'y')
"""


@pytest.fixture
def shop(source: Flow) -> Flow:
    """Return a source with a table of orders and one of lines without a key, not registered yet."""
    source.operational.execute(ORDERS)
    return source


def made(flow: Flow) -> list[tuple[object, ...]]:
    """Return all relations and types that a registration makes."""
    return flow.warehouse.query(
        "select relnamespace::regnamespace::text, relname from pg_catalog.pg_class"
        " where relnamespace::regnamespace::text in ('op', 'mrr') or relname like '%_changes' order by 1, 2"
    )


# ----------------------------------------------------------------------------------------------------------------------
# add_table
# ----------------------------------------------------------------------------------------------------------------------
def test_one_call_mirrors_a_table(shop: Flow) -> None:
    """With defaults only, a table is a pipeline of its own and is mirrored from the next run."""
    shop.warehouse.execute("call etl.add_table('op', 'public.orders')")
    shop.warehouse.execute("call etl.add_table('op', 'public.lines')")
    assert shop.warehouse.query(
        "select mirror, pipeline, capture, key_columns, enabled, copied_at from etl.source_table order by mirror"
    ) == [("lines", "lines", "full", None, True, None), ("orders", "orders", "full", ["id"], True, None)]
    shop.run(None)
    for table in ("public.orders", "public.lines"):
        shop.assert_mirror_equals_source(table)
    shop.operational.execute("update public.orders set note = 'x'; delete from public.lines where order_id = 2")
    shop.run(None)
    for table in ("public.orders", "public.lines"):
        shop.assert_mirror_equals_source(table)


def test_chosen_key_and_mirror(shop: Flow) -> None:
    """Another unique key than the primary one, no key at all, and a name of one's own can be asked for."""
    shop.add_table("public.orders", "p", key=["code"], mirror="bestellungen")
    shop.operational.execute("create table public.again (like public.orders including all)")
    shop.operational.execute("insert into public.again table public.orders")
    shop.add_table("public.again", "p", key=[])
    assert shop.warehouse.query("select mirror, key_columns from etl.source_table order by 1") == [
        ("again", None),
        ("bestellungen", ["code"]),
    ]
    shop.run("p")
    shop.operational.execute("update public.orders set id = id + 10; update public.again set note = 'n' where id = 2")
    shop.run("p")
    assert shop.warehouse.query(
        "select rows_updated from etl.batch_table where mirror = 'bestellungen' order by 1"
    ) == [
        (0,),
        (2,),
    ]
    shop.assert_mirror_equals_source("public.orders")
    shop.assert_mirror_equals_source("public.again")


def test_same_name_in_two_schemas(shop: Flow) -> None:
    """The mirrors of two tables of one name are kept apart."""
    shop.operational.execute(
        f"create schema old; create table old.orders (a int); insert into old.orders values (1);"
        f" grant usage on schema old to {SOURCE_ROLE}; grant select on old.orders to {SOURCE_ROLE}"
    )
    shop.add_table("public.orders", "p")
    shop.add_table("old.orders", "p")
    shop.run("p")
    shop.assert_mirror_equals_source("public.orders")
    shop.assert_mirror_equals_source("old.orders")


def test_views_and_partitioned_tables(shop: Flow) -> None:
    """A view, a materialized view and a partitioned table are mirrored like tables."""
    shop.operational.execute(
        """
        create view public.v as select id, note from public.orders;
        create materialized view public.m as select id, note from public.orders;
        create table public.parts (id int, day date, primary key (id, day)) partition by range (day);
        create table public.parts_1 partition of public.parts for values from ('2024-01-01') to ('2025-01-01');
        create table public.parts_2 partition of public.parts default;
        insert into public.parts values (1, '2024-05-05'), (2, '2030-01-01')
        """
    )
    for table in ("public.v", "public.m", "public.parts"):
        shop.add_table(table, "p")
    shop.run("p")
    shop.operational.execute("update public.parts set day = '2031-01-01' where id = 1; drop table public.parts_2")
    shop.operational.execute("update public.orders set note = 'new'; refresh materialized view public.m")
    shop.run("p")
    for table in ("public.v", "public.m", "public.parts"):
        shop.assert_mirror_equals_source(table)


@pytest.mark.parametrize(
    ("given", "sqlstate", "message", "hint"),
    [
        ({"source": "nowhere"}, "42704", "nowhere", "etl.add_source"),
        ({"source_table": "orders"}, "22023", "orders", "public.orders"),
        ({"source_table": "public.orders; drop"}, "22023", "drop", "public.orders"),
        ({"source_table": None}, "22023", "null", "public.orders"),
        ({"source_table": "public.nothing"}, "42P01", "public.nothing", "name"),
        ({"source_table": "public.Orders2"}, "42P01", "orders2", "quotes"),
        ({"source_table": 'public."Orders"'}, "42P01", '"Orders"', "It has hidden.orders, public.orders."),
        (
            {"source_table": "public.secret"},
            "42501",
            "public.secret of source op may not be read: permission denied for table secret",
            "grant select on public.secret to headrace_source;",
        ),
        (
            {"source_table": "hidden.orders"},
            "42501",
            "hidden.orders of source op may not be read: permission denied for schema hidden",
            "db/source.sql with -v schema=hidden, or:\ngrant usage on schema hidden to headrace_source;",
        ),
        ({"capture": "psychic"}, "22023", "psychic", "full"),
        ({"key": ["nope"]}, "42703", "nope", "key => '{}'"),
        ({"key": ["note"]}, "22023", "no unique index", "key => '{}'"),
        ({"mirror": "x" * 56}, "22023", "xxx", "55 bytes"),
        ({"mirror": ""}, "22023", "mirror", "55 bytes"),
        ({"drop_columns": ["nope"]}, "42703", "nope", ""),
        ({"drop_columns": ["note"], "hash_columns": ["note"]}, "42703", "note", "once"),
        ({"drop_columns": ["id"]}, "42703", "id", "key"),
        ({"drop_columns": ["id", "code", "note", "email", "phone"]}, "22023", "no column", None),
        ({"source_table": "public.ours"}, "22023", "_hr_", "drop_columns"),
    ],
)
def test_bad_registrations(shop: Flow, given: dict[str, object], sqlstate: str, message: str, hint: str | None) -> None:
    """Each mistake has its SQLSTATE, is named, comes with a way out, and leaves nothing behind."""
    shop.operational.execute(
        "create table public.secret (a int); revoke all on public.secret from headrace_source;"
        " create schema hidden; create table hidden.orders (a int); create table public.ours (_hr_batch int)"
    )
    before = made(shop)
    with raises(sqlstate, message=message, hint=hint):
        shop.warehouse.call("etl.add_table", **{"source": "op", "source_table": "public.orders", **given})
    assert made(shop) == before
    assert shop.warehouse.query("select * from etl.source_table") == []
    assert shop.warehouse.query("select pipeline from etl.pipeline") == [("sales",)]


def test_registering_twice(shop: Flow) -> None:
    """A table that is mirrored already is refused, and so is a mirror's name that is taken."""
    shop.add_table("public.orders", "p")
    with raises("42710", message="already", hint="etl.remove_table"):
        shop.add_table("public.orders", "q")
    with raises("22023", message="orders", hint="taken"):
        shop.add_table("public.lines", "p", mirror="orders")
    assert shop.warehouse.query("select mirror, pipeline from etl.source_table") == [("orders", "p")]


# ----------------------------------------------------------------------------------------------------------------------
# Masks
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", [["id"], []], ids=["with a key", "without a key"])
def test_masks(shop: Flow, key: list[str]) -> None:
    """Columns are dropped, hashed with a secret or truncated; unmasked values are nowhere in the warehouse."""
    shop.add_table(
        "public.orders",
        "p",
        key=key,
        drop_columns=["note"],
        hash_columns=["email", "phone"],
        truncate_columns='{"code": 1}',
    )
    shop.operational.execute("insert into public.orders values (3, 'secret code', 'c', 'bob@example.com', 7)")
    shop.run("p")
    shop.assert_mirror_equals_source("public.orders", without=["code", "note", "email", "phone"])
    rows = shop.warehouse.query("select id, code, email, phone from mrr.orders order by id")
    assert [row[:2] for row in rows] == [(1, "a"), (2, "b"), (3, "s")]
    assert rows[0][2] == rows[1][2] != rows[2][2]
    assert rows[1][3] is None
    assert all(len(row[2]) == 64 for row in rows)
    assert rows[0][2] != hashlib.sha256(b"ada@example.com").hexdigest()
    assert not shop.warehouse.query(
        "select from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid"
        " where c.relnamespace::regnamespace::text in ('mrr', 'stg', 'op') and a.attname = 'note'"
    )
    shop.run("p")
    assert shop.warehouse.value("select sum(rows_changed) from etl.batch") == 3
    shop.operational.execute("update public.orders set email = 'bob@example.com' where id = 1")
    shop.operational.execute("update public.orders set note = 'not seen' where id = 2")
    shop.run("p")
    assert shop.warehouse.value("select count(distinct email) from mrr.orders where id in (1, 3)") == 1
    assert shop.warehouse.value("select rows_changed from etl.batch order by batch_id desc limit 1") == (
        1 if key else 2
    )


def test_masked_columns_cannot_be_read_around(shop: Flow) -> None:
    """The foreign table has none of them."""
    shop.add_table("public.orders", "p", drop_columns=["note"], hash_columns=["email"])
    assert shop.warehouse.query(
        "select attname from pg_catalog.pg_attribute where attrelid = 'op.orders'::regclass and attnum > 0 order by 1"
    ) == [("code",), ("id",), ("phone",)]


# ----------------------------------------------------------------------------------------------------------------------
# The source changes
# ----------------------------------------------------------------------------------------------------------------------
CHANGES = {
    "alter table public.orders drop column note": "note",
    "alter table public.orders rename column note to remark": "remark",
    "alter table public.orders alter column note type varchar(10)": "character varying",
    "alter table public.orders add extra int default 5": "extra",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_columns_are_followed(shop: Flow, change: str) -> None:
    """By default the mirror follows columns that were dropped, renamed, retyped or added."""
    shop.add_table("public.orders", "p")
    shop.run("p")
    shop.operational.execute(change)
    for _ in range(2):
        shop.operational.execute("update public.orders set email = email || '!' where id = 1")
        shop.run("p")
        shop.assert_mirror_equals_source("public.orders")


@pytest.mark.parametrize(("change", "words"), CHANGES.items())
def test_changed_columns_are_refused(shop: Flow, change: str, words: str) -> None:
    """On request they stop the pipeline instead, before anything is misread, until they are accepted."""
    shop.add_table("public.orders", "p", on_schema_change="stop")
    shop.run("p")
    mirror = shop.warehouse.query("select * from mrr.orders order by id")
    shop.operational.execute(change)
    with raises("55000", message=words, hint="etl.accept_columns"):
        shop.run("p")
    assert shop.warehouse.query("select * from mrr.orders order by id") == mirror
    shop.warehouse.execute("call etl.accept_columns('op', 'public.orders')")
    shop.run("p")
    shop.assert_mirror_equals_source("public.orders")


def test_new_label_of_an_enum(shop: Flow) -> None:
    """A label that an enum gained after registration arrives."""
    shop.operational.execute("create type public.state as enum ('new'); alter table public.orders add s public.state")
    shop.add_table("public.orders", "p")
    shop.run("p")
    shop.operational.execute("alter type public.state add value 'old'")
    shop.operational.execute("update public.orders set s = 'old' where id = 1")
    shop.run("p")
    shop.assert_mirror_equals_source("public.orders")


# ----------------------------------------------------------------------------------------------------------------------
# remove_table, set_enabled, pause
# ----------------------------------------------------------------------------------------------------------------------
def test_remove_table(shop: Flow) -> None:
    """Nothing of a removed table stays in op, mrr and stg, and it can be registered again."""
    before = made(shop)
    for _ in range(2):
        shop.add_table("public.orders", "p")
        shop.add_table("public.lines", "p")
        shop.run("p")
        shop.assert_mirror_equals_source("public.orders")
        for table in ("public.orders", "public.lines"):
            shop.warehouse.execute("call etl.remove_table('op', %s)", [table])
        assert made(shop) == before
        assert shop.warehouse.query("select * from etl.source_column") == []
    with raises("42704", message="public.orders", hint=""):
        shop.warehouse.execute("call etl.remove_table('op', 'public.orders')")


def test_remove_table_that_is_needed(sales: Flow) -> None:
    """A table that stages read goes only by force, and what it brought into dwh stays."""
    sales.seed()
    sales.run()
    with raises("2BP01", message="stg.sale", hint="force => true"):
        sales.warehouse.execute("call etl.remove_table('op', 'public.sales')")
    sales.assert_mirror_equals_source("public.sales")
    sales.warehouse.execute("call etl.remove_table('op', 'public.sales', force => true)")
    assert sales.warehouse.value("select count(*) from dwh.fact_sales") == 7


def test_remove_table_with_waiting_changes(shop: Flow) -> None:
    """Changes that are captured and not yet published are not lost by accident."""
    shop.add_table("public.orders", "p")
    shop.warehouse.execute("call mrr.capture('p')")
    with raises("2BP01", message="2", hint="etl.run"):
        shop.warehouse.execute("call etl.remove_table('op', 'public.orders')")


def test_remove_table_while_a_run_works(shop: Flow) -> None:
    """While its pipeline runs, a table cannot be removed."""
    shop.add_table("public.orders", "p")
    with locked(shop.operational, "public.orders"):
        run = shop.start("p")
        waiting_for_lock(shop.operational, "public.orders")
        with raises("55P03", message="p"):
            shop.warehouse.execute("call etl.remove_table('op', 'public.orders')")
    run.finish()
    shop.assert_mirror_equals_source("public.orders")


def test_set_enabled(sales: Flow) -> None:
    """A table that is not enabled is left out of capture, keeps its mirror, and catches up later; both idempotent."""
    sales.seed()
    sales.run()
    for _ in range(2):
        sales.warehouse.execute("call etl.set_enabled('op', 'public.customers', false)")
    sales.operational.execute("update public.customers set country = 'XX'; insert into public.sales values (2, 2, 2)")
    mirror = sales.warehouse.query("select * from mrr.customers order by id")
    sales.run()
    assert sales.warehouse.query("select * from mrr.customers order by id") == mirror
    sales.assert_mirror_equals_source("public.sales")
    for _ in range(2):
        sales.warehouse.execute("call etl.set_enabled('op', 'public.customers', true)")
    sales.run()
    sales.assert_mirrors_equal_source()
    sales.assert_facts_equal_model()
    with raises("42704", message="public.nothing", hint="public.sales"):
        sales.warehouse.execute("call etl.set_enabled('op', 'public.nothing', true)")


def test_pause_is_idempotent_and_checked(sales: Flow) -> None:
    """Pausing twice keeps the first moment; an unknown pipeline is refused."""
    sales.warehouse.execute("call etl.pause('sales', 'why')")
    first = sales.warehouse.query("select paused_at, pause_reason from etl.pipeline")
    sales.warehouse.execute("call etl.pause('sales')")
    assert sales.warehouse.query("select paused_at, pause_reason from etl.pipeline") == first
    for _ in range(2):
        sales.warehouse.execute("call etl.resume('sales')")
    assert sales.warehouse.query("select paused_at, pause_reason from etl.pipeline") == [(None, None)]
    for call in ("call etl.pause('nothing')", "call etl.resume('nothing')"):
        with raises("42704", message="nothing", hint="etl.pipeline"):
            sales.warehouse.execute(call)


# ----------------------------------------------------------------------------------------------------------------------
# Sources
# ----------------------------------------------------------------------------------------------------------------------
ADD = "call etl.add_source(%(source)s, %(options)s::jsonb, %(user)s, %(password)s)"


def options_of(flow: Flow, **changed: object) -> dict[str, object]:
    """Return the arguments that register the operational database, some of them changed."""
    server = flow.operational.server
    options = f'{{"host": "{server.host}", "port": "{server.port}", "dbname": "{flow.operational.name}"}}'
    given = {"source": "op", "options": options, "user": SOURCE_ROLE, "password": server.passwords[SOURCE_ROLE]}
    return {**given, **changed}


@pytest.mark.parametrize(
    ("changed", "sqlstate", "hint"),
    [
        ({"source": "two", "password": "wrong"}, "08001", "password"),
        ({"source": "two", "options": '{"host": "127.0.0.1", "port": "1", "dbname": "x"}'}, "08001", "host"),
        ({"source": "two", "options": '{"host": "127.0.0.1"}'}, "22023", "dbname"),
        ({"source": "two", "options": "[]"}, "22023", "dbname"),
        ({"source": "two", "options": '{"host": "h", "dbname": "x", "password": "p"}'}, "22023", "username"),
        ({"source": "two", "options": '{"host": "h", "dbname": "x", "nonsense": "p"}'}, "HV00D", None),
        ({"source": ""}, "22023", "schema"),
        ({"source": "dwh"}, "22023", "schema"),
        ({"source": "pg_op"}, "22023", "schema"),
        ({"source": "x" * 56}, "22023", "55 bytes"),
    ],
)
def test_bad_sources(sales: Flow, changed: dict[str, object], sqlstate: str, hint: str | None) -> None:
    """A source that cannot be used is refused with a way out, and leaves nothing behind."""
    with raises(sqlstate, hint=hint):
        sales.warehouse.execute(ADD, options_of(sales, **changed))
    assert sales.warehouse.query("select source from etl.source") == [("op",)]
    assert sales.warehouse.query("select srvname from pg_catalog.pg_foreign_server") == [("op",)]
    sales.run()


def test_source_is_updated(sales: Flow) -> None:
    """Called again, add_source changes the connection; a wrong one changes nothing."""
    sales.seed()
    sales.run()
    with raises("08001"):
        sales.warehouse.execute(ADD, options_of(sales, password="wrong"))
    sales.run()
    assert sales.last_run() == ("succeeded",)
    sales.warehouse.execute(ADD, options_of(sales))
    sales.run()
    sales.assert_mirrors_equal_source()


def test_two_sources(sales: Flow) -> None:
    """Tables of one name in two sources are mirrored side by side, and removed with their source."""
    sales.seed()
    sales.warehouse.execute(ADD, options_of(sales, source="Second Shop"))
    sales.warehouse.execute("call etl.add_table('Second Shop', 'public.sales', pipeline => 'second')")
    sales.run(None)
    mirror = sales.warehouse.value("select mirror from etl.source_table where source = 'Second Shop'")
    assert mirror != "sales"
    assert sales.warehouse.value(f'select count(*) from mrr."{mirror}"') == 13
    sales.assert_facts_equal_model()
    with raises("2BP01", message="public.sales", hint="etl.remove_table"):
        sales.warehouse.execute("call etl.remove_source('Second Shop')")
    sales.warehouse.execute("call etl.remove_table('Second Shop', 'public.sales')")
    sales.warehouse.execute("call etl.remove_source('Second Shop')")
    assert sales.warehouse.query("select srvname from pg_catalog.pg_foreign_server") == [("op",)]
    assert sales.warehouse.query("select from pg_catalog.pg_namespace where nspname = 'Second Shop'") == []
