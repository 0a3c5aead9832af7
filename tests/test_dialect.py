"""The procedures keep to what one PostgreSQL and a cluster of Citus both take, and each rule finds a planted fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import checks, dialect
from tests.capture import may_replicate
from tests.dialect import Dialect
from tests.support import Database, Flow

MAKE = """create or replace {} etl.sample()
language plpgsql
as $$
declare
  v_rows bigint;
begin
  {}
end
$$;
"""
NOTHING = "when matched then do nothing"
SPREAD_WITH_OTHERS = """
select format('trigger %s on %s', t.tgname, t.tgrelid::regclass)
from etl.layout l
join pg_catalog.pg_trigger t on t.tgrelid = to_regclass(l.relation) and not t.tgisinternal
where l.kind <> 'local'
union all
select format('foreign key %s of %s', c.conname, c.conrelid::regclass)
from etl.layout l
join pg_catalog.pg_constraint c on to_regclass(l.relation) in (c.conrelid, c.confrelid) and c.contype = 'f'
where l.kind <> 'local'
order by 1
"""


def of(warehouse: Database) -> Dialect:
    """Return the dialect of a warehouse."""
    return Dialect(
        {
            relation: (kind, column)
            for relation, kind, column in warehouse.query("select relation, kind, distribution_column from etl.layout")
        },
        frozenset(
            name
            for (name,) in warehouse.query(
                """
                select case when n.nspname = 'pg_catalog' then '' else n.nspname || '.' end || p.proname
                from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
                group by n.nspname, p.proname
                having bool_and(p.provolatile = 'v') or p.proname = 'now'
                    or n.nspname in ('etl', 'mrr', 'stg', 'dwh') and bool_or(p.provolatile <> 'i')
                """
            )
        ),
    )


def test_no_file_says_what_citus_refuses(warehouse: Database) -> None:
    """Every static statement of every routine."""
    said = of(warehouse)
    found = [
        f"{path.relative_to(checks.PROCEDURES)}: {finding}"
        for path, text in checks.files().items()
        for finding in said.findings(text)
    ]
    assert found == []


def test_nothing_is_executed_that_citus_refuses(sales: Flow) -> None:
    """The statements that routines make at run time too: in each mode of capture, a rebuild, a replay, a comparison."""
    may_replicate(sales.operational)
    sales.operational.execute("alter table public.sales replica identity full")
    said = of(sales.warehouse)
    sales.seed()
    with dialect.executed(sales.warehouse.connection) as statements:
        sales.run()
        sales.operational.execute(
            "delete from public.sales where qty = 2; update public.customers set country = 'NO' where id = 1;"
            " delete from public.customers where id = 2; insert into public.customers values (9, 'Late', 'DE')"
        )
        sales.run()
        name = sales.warehouse.value("select etl.slot_name('sales')")
        sales.operational.execute(f"create publication {name} for table public.sales, public.products")
        for table in ("sales", "products"):
            sales.warehouse.execute(f"call etl.set_capture('op', 'public.{table}', 'log')")
        sales.warehouse.execute("call etl.set_capture('op', 'public.customers', 'watermark', watermark => 'id')")
        sales.run()
        for change in (
            "insert into public.sales values (1, 1, 5); delete from public.sales where qty = 7;"
            " update public.products set name = 'Adze' where id = 2;"
            " insert into public.customers values (10, 'New', 'SE')",
            "truncate public.sales; insert into public.sales values (1, 1, 4)",
        ):
            sales.operational.execute(change)
            sales.run()
        for relation in ("dwh.fact_sales", "dwh.dim_customer", "mrr.sales", "mrr.products"):
            sales.warehouse.call("etl.rebuild", relation=relation)
        sales.warehouse.call("etl.replay_quarantine")
        sales.warehouse.call("etl.reconcile")
    statements = sorted({text for text in statements if dialect.parses(text)})
    for made_at_run_time in (
        "insert into mrr.sales",
        "delete from mrr.sales",
        "update dwh.dim_customer",
        "pg_temp.headrace_log",
    ):
        assert any(made_at_run_time in text for text in statements), f"nothing was seen of: {made_at_run_time}"
    assert [(text, finding) for text in statements for finding in said.findings(text)] == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("merge into dwh.fact_sales f using stg.sales_delta s on false {}", "MERGE into dwh.fact_sales"),
        ("merge into mrr.t f using pg_temp.t s on false {}", "MERGE into mrr.t"),
        ("merge into mrr.t f using op.t s on false {}", "MERGE into mrr.t"),
        ("merge into dwh.dim_product f using dwh.dim_customer s on false {}", "reference table"),
        ("update dwh.fact_sales set captured_at = clock_timestamp()", "clock_timestamp() is called in a change"),
        ("delete from dwh.dim_customer where valid_from < now()", "now() is called in a change"),
        ("insert into mrr.t select etl.warehouse_id()", "etl.warehouse_id() is called in a change"),
        ("update dwh.fact_sales f set customer_id = 1", "tells the shard"),
        ("perform 1 where exists (select from mrr.t)", "write SELECT 1"),
        ("perform from stg.a cross join lateral (select * from dwh.fact_sales limit 1) f", "number its rows"),
        ("insert into etl.a values (1) on conflict do nothing; get diagnostics v_rows = row_count;", "ROW_COUNT"),
        ("execute 'insert into a on conflict do nothing'; get diagnostics v_rows = row_count;", "ROW_COUNT"),
        ("if true then update dwh.fact_sales set qty = random(); end if", "random() is called in a change"),
        ("with d as (delete from etl.a using dwh.dim_date p) select 1 into v_rows", "beside a reference table"),
    ],
)  # fmt: skip
def test_planted_faults_are_found(warehouse: Database, statement: str, finding: str) -> None:
    """In the body of a function as of a procedure."""
    said = of(warehouse)
    for kind in ("function", "procedure"):
        found = "\n".join(said.findings(MAKE.format(kind, statement.replace("{}", NOTHING).rstrip(";") + ";")))
        assert finding in found


def test_what_is_allowed_is_not_found(warehouse: Database) -> None:
    """Changes of local tables, variables, functions in FROM, counting by RETURNING."""
    said = of(warehouse)
    for statement in (
        "update etl.batch set published_at = clock_timestamp()",
        "insert into mrr.t select r.a from etl_ext.dblink_get_result('c') r (a int)",
        "insert into dwh.fact_sales select s.qty, v_rows from stg.sale(v_rows) s",
        "perform 1 where exists (select from etl.batch)",
        "update dwh.fact_sales set qty = abs(qty)",
        "with a as (insert into mrr.t values (1) on conflict do nothing returning 1) select from a",
        "insert into etl.batch values (1); get diagnostics v_rows = row_count",
        "with d as (select p.day from dwh.dim_date p) delete from etl.a using d where a.day = d.day",
    ):
        assert list(said.findings(MAKE.format("function", statement + ";"))) == []


def test_an_sql_function_of_a_spread_table_is_found(warehouse: Database) -> None:
    """Its parameters are not known when Citus plans it."""
    text = (
        "create or replace function dwh.a(b int) returns int language sql"
        " as $$ select count(*) from dwh.fact_sales where qty = b $$;"
    )
    assert "SQL function" in "\n".join(of(warehouse).findings(text))
    assert list(of(warehouse).findings(text.replace("dwh.fact_sales", "etl.batch"))) == []


def test_a_statement_made_at_run_time_is_seen(warehouse: Database) -> None:
    """What only EXECUTE knows reaches the rules."""
    warehouse.execute("create table mrr.t (a timestamptz)")
    with dialect.executed(warehouse.connection) as statements:
        warehouse.execute("do $$ begin execute format('update mrr.%I set a = clock_timestamp()', 't'); end $$")
    found = [finding for text in statements for finding in of(warehouse).findings(text)]
    assert found == ["clock_timestamp() is called in a change of mrr.t: read it into a variable first"]


def test_spread_tables_have_no_trigger_and_no_foreign_key(sales: Flow) -> None:
    """Neither those of the sample nor mirrors; a planted one of each is found."""
    warehouse = sales.warehouse
    assert warehouse.query(SPREAD_WITH_OTHERS) == []
    warehouse.execute(
        "create function public.f() returns trigger language plpgsql as 'begin return new; end';"
        " create trigger t before insert on dwh.fact_sales for each row execute function public.f();"
        " alter table dwh.fact_sales add constraint k foreign key (captured_on) references dwh.dim_date"
    )
    found = "\n".join(text for (text,) in warehouse.query(SPREAD_WITH_OTHERS))
    assert "trigger t on dwh.fact_sales" in found
    assert "foreign key k of dwh.fact_sales" in found


def test_a_warehouse_without_citus_is_left_as_it_is(warehouse: Database) -> None:
    """The layout is there, and bringing it about does nothing, however often."""
    before = warehouse.query("select oid, relkind from pg_catalog.pg_class order by 1")
    for _ in range(2):
        warehouse.execute("call etl.apply_layout()")
    assert warehouse.query("select oid, relkind from pg_catalog.pg_class order by 1") == before
    assert Path(checks.PROCEDURES, "etl", "apply_layout.sql").exists()


def test_a_mirror_gets_its_place_with_its_registration(source: Flow) -> None:
    """By its key or the number of its rows; what an administrator has said before stands; it goes with the mirror."""
    source.operational.execute(
        "create table public.a (x text, y int, primary key (y, x)); create table public.b (x int);"
        " create table public.c (x numeric primary key, y int);"
        " create table public.d (x numeric, y uuid, primary key (x, y))"
    )
    source.warehouse.execute("insert into etl.layout values ('mrr.products', 'local')")
    for table in ("public.a", "public.b", "public.c", "public.d", "public.products"):
        source.add_table(table)
    rows = "select relation, kind, distribution_column from etl.layout where relation like 'mrr.%' order by 1"
    assert source.warehouse.query(rows) == [
        ("mrr.a", "distributed", "y"),
        ("mrr.b", "distributed", "_hr_id"),
        ("mrr.c", "local", None),
        ("mrr.d", "distributed", "y"),
        ("mrr.products", "local", None),
    ]
    source.warehouse.execute("call etl.remove_table('op', 'public.a')")
    assert ("mrr.a", "distributed", "y") not in source.warehouse.query(rows)
