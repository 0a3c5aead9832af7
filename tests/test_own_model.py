"""A model of one's own: stages, dimensions and facts by calls alone, the example of pgbench's bank, and its removal."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command

from tests.capture import add_log_table, may_replicate
from tests.conftest import ROOT, SOURCE_ROLE, alembic
from tests.psql import psql
from tests.support import Database, Flow, raises

EXAMPLE = ROOT / "db/examples/pgbench"
SHOPS = """
create table public.stores (id int primary key, name text, city text);
insert into public.stores values (1, ' Centre', 'Oslo'), (2, 'Harbour', 'Bergen');
create table public.visits (id int primary key, store_id int, visitors int);
insert into public.visits values (1, 1, 40), (2, 2, 25), (3, 9, 7), (4, 1, -1);
create table public.scans (store_id int, weight numeric, note text);
insert into public.scans values (1, 1.50, null), (1, 1.50, null), (1, 1.5, 'x'), (2, 7, ''), (null, 1, 'lost');
"""
STAR = """
call etl.add_table('op', 'public.stores', pipeline => 'shops');
call etl.add_table('op', 'public.visits', pipeline => 'shops');
call etl.add_table('op', 'public.scans', pipeline => 'shops');
call etl.create_stage('stg.store', 'stores', '{"store_id": "c.id::bigint", "name": "btrim(c.name)", "city": "c.city"}');
call etl.create_stage('stg.visit', 'visits',
    '{"visit_id": "c.id::bigint", "store_id": "c.store_id::bigint", "visitors": "c.visitors"}',
    reason => $$case when c.visitors < 0 then 'the number of visitors is negative' end$$);
call etl.create_stage('stg.scan', 'scans', '{"store_id": "c.store_id::bigint", "weight": "c.weight", "note": "c.note"}',
    reason => $$case when c.store_id is null then 'the scan has no store' end$$);
call etl.add_dimension('dwh.dim_store', 'stg.store', surrogate_key => 'store_key', business_key => 'store_id',
                       attributes => '{name,city}');
call etl.add_fact('dwh.fact_visit', 'stg.visit', dimensions => '{dwh.dim_store}', key => '{visit_id}',
                  measures => '{visitors}');
call etl.add_fact('dwh.fact_scan', 'stg.scan', dimensions => '{dwh.dim_store}', measures => '{weight}');
"""


def contents(warehouse: Database) -> list[tuple[object, ...]]:
    """Return what there is of relations, routines and registrations, without the log."""
    found = warehouse.query(
        "select 'relation', c.oid::regclass::text from pg_catalog.pg_class c"
        " where c.relnamespace::regnamespace::text in ('op', 'mrr', 'stg', 'dwh', 'etl')"
        " union all select 'routine', p.oid::regprocedure::text from pg_catalog.pg_proc p"
        " where p.pronamespace::regnamespace::text in ('op', 'mrr', 'stg', 'dwh', 'etl') order by 1, 2"
    )
    for table in (
        "pipeline",
        "source_table",
        "source_column",
        "stage",
        "dimension",
        "fact",
        "step",
        "check_rule",
        "batch",
    ):
        found += warehouse.query(f"select '{table}', to_jsonb(t)::text from etl.{table} t order by 2")
    return [*found, *warehouse.query("select 'quarantine', to_jsonb(q)::text from stg.quarantine q")]


@pytest.fixture
def shops(source: Flow) -> Flow:
    """Return a star of stores, visits with a key and scans without one, not yet run."""
    source.operational.execute(SHOPS)
    source.warehouse.execute(STAR)
    return source


def assert_days_equal_facts(flow: Flow) -> None:
    """Compare rows and sums by day with a fresh GROUP BY of both fact tables."""
    assert flow.warehouse.query("select fact, day, measure, total from dwh.metric_fact order by 1, 2, 3") == (
        flow.warehouse.query(
            "select 'dwh.fact_scan', f.captured_on, m.name, m.total from (select captured_on, count(*)::numeric as n,"
            " coalesce(sum(weight) filter (where abs(weight) < 'infinity'), 0) as s from dwh.fact_scan group by 1) f"
            " cross join lateral (values (null, f.n), ('weight', f.s)) m (name, total)"
            " union all"
            " select 'dwh.fact_visit', f.captured_on, m.name, m.total from (select captured_on, count(*)::numeric as n,"
            " coalesce(sum(visitors), 0)::numeric as s from dwh.fact_visit group by 1) f"
            " cross join lateral (values (null, f.n), ('visitors', f.s)) m (name, total) order by 1, 2, 3"
        )
    )


def assert_facts_equal_source(flow: Flow) -> None:
    """Compare both fact tables, and the versions they refer to, with the source."""
    visits = flow.operational.query("select id, store_id, visitors from public.visits where visitors >= 0 order by 1")
    assert flow.warehouse.query("select visit_id, store_id, visitors from dwh.fact_visit order by 1") == visits
    scans = "select store_id::bigint, weight::text, note from {} where store_id is not null order by 1, 2, 3"
    assert flow.warehouse.query(scans.format("dwh.fact_scan")) == flow.operational.query(scans.format("public.scans"))
    for fact in ("dwh.fact_visit", "dwh.fact_scan"):
        assert flow.warehouse.query(
            f"select f.* from {fact} f where not exists (select from dwh.dim_store d where d.store_key = f.store_key"
            " and d.store_id = f.store_id and f.batch_id >= d.batch_from and f.batch_id < d.batch_to)"
        ) == []  # fmt: skip
    assert_days_equal_facts(flow)


def test_a_star_by_calls_alone(shops: Flow) -> None:
    """Inserts, changes, deletes, late members, quarantined and mended rows, with a key and without."""
    shops.run("shops")
    assert_facts_equal_source(shops)
    assert shops.warehouse.query("select store_id, name, is_inferred from dwh.dim_store order by 1") == [
        (1, "Centre", False),
        (2, "Harbour", False),
        (9, None, True),
    ]
    assert shops.warehouse.query("select mirror, reason from stg.quarantine order by 1") == [
        ("scans", "the scan has no store"),
        ("visits", "the number of visitors is negative"),
    ]
    shops.operational.execute(
        "insert into public.stores values (9, 'Airport', 'Oslo'); update public.stores set city = 'Moss' where id = 1;"
        "update public.visits set visitors = 12 where id in (1, 4); delete from public.visits where id = 2;"
        "delete from public.scans where ctid = (select min(ctid) from public.scans where weight = 1.5);"
        "insert into public.scans values (9, 3, 'z'), (9, 3, 'z'); update public.scans set store_id = 1 where note ="
        " 'lost'"
    )
    shops.run("shops")
    assert_facts_equal_source(shops)
    assert shops.warehouse.query("select * from stg.quarantine") == []
    assert shops.warehouse.query(
        "select d.city from dwh.fact_scan f join dwh.dim_store d using (store_key) where f.store_id = 1 and f.note"
        " is null"
    ) == [("Oslo",)]
    before = shops.warehouse.query(
        "select store_id, weight, note, store_key, captured_at, batch_id from dwh.fact_scan order by 1, 2, 3"
    )
    for table in ("dwh.fact_scan", "dwh.fact_visit", "dwh.dim_store"):
        shops.warehouse.call("etl.rebuild", relation=table)
    assert_facts_equal_source(shops)
    assert before == shops.warehouse.query(
        "select store_id, weight, note, store_key, captured_at, batch_id from dwh.fact_scan order by 1, 2, 3"
    )
    assert shops.warehouse.query(
        "select step, depends_on, stages from etl.step where pipeline = 'shops' order by step_id"
    ) == [
        ("judge", [], ["stg.store", "stg.visit", "stg.scan"]),
        ("dim_store", ["judge"], ["stg.store"]),
        ("fact_visit", ["judge", "dim_store"], ["stg.visit"]),
        ("fact_scan", ["judge", "dim_store"], ["stg.scan"]),
    ]


def test_facts_that_were_changed_by_hand_stop_the_publish(shops: Flow) -> None:
    """A row that is gone and finds no fact is not passed over; the rebuild that the hint names mends it."""
    shops.run("shops")
    shops.warehouse.execute("update dwh.fact_scan set row_hash = row_hash + 1 where store_id = 2")
    shops.operational.execute("delete from public.scans where store_id = 2")
    with raises("22000", message="withdraws 1 rows of dwh.fact_scan, but 0 facts equal them"):
        shops.run("shops")
    hint = shops.warehouse.value("select hint from etl.procedure_errors order by error_id desc limit 1")
    assert "call etl.rebuild('dwh.fact_scan');" in hint


def test_days_of_facts_follow_what_changes(shops: Flow) -> None:
    """Rows and sums by day stay exact over days, numbers that are none, emptied days, rebuilds and other measures."""
    shops.run("shops")
    shops.warehouse.execute(
        "update dwh.fact_visit set captured_on = captured_on - 1 where visit_id < 3;"
        " update dwh.fact_scan set captured_on = captured_on - 1 where store_id = 1;"
        " select dwh.recount_facts(f) from etl.fact f"
    )
    assert shops.warehouse.value("select count(distinct day) from dwh.metric_fact") == 2
    assert_days_equal_facts(shops)
    shops.operational.execute(
        "insert into public.scans values (1, 'NaN', 'none'), (1, 'NaN', 'none'), (2, null, 'null');"
        " update public.visits set visitors = visitors + 5 where id = 1;"
        " delete from public.visits where id in (2, 3); delete from public.scans where store_id = 1 and weight = 1.5;"
    )
    shops.run("shops")
    assert_days_equal_facts(shops)
    shops.operational.execute("delete from public.scans where note = 'none'; delete from public.visits")
    shops.run("shops")
    assert_days_equal_facts(shops)
    assert shops.warehouse.query("select * from dwh.metric_fact where fact = 'dwh.fact_visit'") == []
    shops.warehouse.execute("update dwh.facts_by_day set total = total + 1")
    for table in ("dwh.fact_scan", "mrr.visits"):
        shops.warehouse.call("etl.rebuild", relation=table)
    assert_days_equal_facts(shops)
    shops.warehouse.execute("call etl.add_fact('dwh.fact_scan', 'stg.scan', '{dwh.dim_store}')")
    assert shops.warehouse.query("select measure, total from dwh.metric_fact") == [(None, 2)]


def test_facts_that_their_own_function_loads_are_not_counted(shops: Flow) -> None:
    """Nobody keeps count of them, so no number is shown that might be wrong."""
    shops.run("shops")
    shops.warehouse.execute(
        "create function dwh.load_scan(p_batch bigint, p_step etl.step) returns etl.row_counts language sql as"
        " $$ select dwh.load_fact(p_batch, p_step) $$;"
        "call etl.add_step('shops', 'fact_scan', 'dwh.load_scan', 'dwh.fact_scan', '{stg.scan}', '{judge,dim_store}')"
    )
    assert shops.warehouse.query("select distinct fact from dwh.metric_fact") == [("dwh.fact_visit",)]


def test_facts_there_before_are_counted_by_the_upgrade(shops: Flow) -> None:
    """Down and up again: the rows by day are there, and go on being kept; measures are chosen anew."""
    shops.run("shops")
    shops.warehouse.close()
    alembic(shops.warehouse.dsn, command.downgrade, "0011")
    alembic(shops.warehouse.dsn, command.upgrade, "head")
    rows = "select fact, total from dwh.metric_fact where measure is null order by 1"
    assert shops.warehouse.query(rows) == [("dwh.fact_scan", 4), ("dwh.fact_visit", 3)]
    shops.operational.execute("insert into public.visits values (7, 1, 2)")
    shops.warehouse.execute(STAR[STAR.index("call etl.add_fact") :])
    shops.run("shops")
    assert_facts_equal_source(shops)


def test_tables_of_ones_own(source: Flow) -> None:
    """A table that is there is used, if it fits: here facts partitioned by month."""
    source.operational.execute(SHOPS)
    source.warehouse.execute(
        "create table dwh.fact_scan (fact_key bigint generated always as identity, source text, store_id bigint,"
        " weight numeric,"
        " note text, store_key bigint, captured_at timestamptz, captured_on date, batch_id bigint) partition by"
        " range (captured_on);"
        "alter table dwh.fact_scan owner to headrace_owner"
    )
    *before, last = [line for line in STAR.split(";\n") if line.strip()]
    source.warehouse.execute(";".join(before))
    with raises("42703", message="fact table dwh.fact_scan lacks columns: row_hash bigint", hint="drop the table"):
        source.warehouse.execute(last)
    source.warehouse.execute("alter table dwh.fact_scan add column row_hash bigint")
    source.warehouse.execute(last)
    source.run("shops")
    assert_facts_equal_source(source)
    with raises("2BP01", message="did not make: dwh.fact_scan", hint="etl.remove_step"):
        source.warehouse.execute("call etl.remove_pipeline('shops')")
    source.warehouse.execute("call etl.remove_fact('dwh.fact_scan'); call etl.remove_pipeline('shops')")
    assert source.warehouse.value("select count(*) from dwh.fact_scan") == 4


def test_a_fact_without_the_key_of_its_dimension(shops: Flow) -> None:
    """It is told which rows of what lack which key, and the way out works: a member of its own."""
    stage = "call etl.create_stage('stg.scan', 'scans', %s)"
    shops.warehouse.execute(stage, ['{"store_id": "c.store_id::bigint", "weight": "c.weight"}'])
    with raises(
        "23502",
        message="1 fit rows of stg.scan in batch 1 have no store_id, by which dwh.dim_store is found",
        hint="coalesce(c.…",
    ):
        shops.run("shops")
    assert shops.warehouse.query("select store_id from dwh.dim_store") == []
    shops.warehouse.execute(stage, ['{"store_id": "coalesce(c.store_id::bigint, -1)", "weight": "c.weight"}'])
    shops.run("shops")
    assert shops.warehouse.query(
        "select d.store_id, d.is_inferred, f.weight from dwh.fact_scan f join dwh.dim_store d using (store_key)"
        " where d.store_id < 0"
    ) == [(-1, True, 1)]


def notices(warehouse: Database, statement: str) -> list[str]:
    """Run a statement; return its notices, each with its hint."""
    heard: list[str] = []
    with warehouse.connect() as connection:
        connection.add_notice_handler(lambda said: heard.append(f"{said.message_primary}: {said.message_hint}"))
        connection.execute(statement)
    return heard


def test_steps_that_come_after_the_first_load(source: Flow) -> None:
    """Whoever registers them is told that the tables are empty and what fills them; before the first load nobody is."""
    source.operational.execute(SHOPS)
    first, *rest = [f"call {call}" for call in STAR.split("call ")[1:]]
    tables, star = [first, *rest[:2]], rest[2:]
    assert notices(source.warehouse, ";".join(tables)) == []
    source.run("shops")
    said = notices(source.warehouse, "".join(star))
    assert [line.split(":")[0] for line in said] == [
        f"dwh.{table} has nothing yet of what mrr.{mirror} holds"
        for table, mirror in (("dim_store", "stores"), ("fact_visit", "visits"), ("fact_scan", "scans"))
    ]
    source.run("shops")
    assert source.warehouse.query("select * from dwh.fact_visit") == []
    for line in said:
        source.warehouse.execute(line.split("To fill it: ")[1])
    assert_facts_equal_source(source)
    assert notices(source.warehouse, "".join(star)) == []
    source.warehouse.execute("call etl.remove_pipeline('shops')")
    assert notices(source.warehouse, STAR) == []


def test_another_column(shops: Flow) -> None:
    """Called again after its stage has one more column, a dimension or fact gets it, and a rebuild fills it."""
    shops.run("shops")
    heard = []
    for stage, mirror, columns, call in (
        ("store", "stores", '"store_id": "c.id::bigint", "name": "btrim(c.name)", "city": "c.city", "size": "7"',
         "add_dimension('dwh.dim_store', 'stg.store', 'store_key', 'store_id', '{name,city,size}')"),
        ("visit", "visits", '"visit_id": "c.id::bigint", "store_id": "c.store_id::bigint", "visitors": "c.visitors",'
         ' "share": "c.visitors / 8.0"',
         "add_fact('dwh.fact_visit', 'stg.visit', '{dwh.dim_store}', '{visit_id}', '{share}')"),
        ("scan", "scans", '"store_id": "coalesce(c.store_id, 0)::bigint", "weight": "c.weight", "note": "c.note",'
         ' "shout": "upper(c.note)"',
         "add_fact('dwh.fact_scan', 'stg.scan', '{dwh.dim_store}')"),
    ):  # fmt: skip
        shops.warehouse.execute(f"call etl.create_stage('stg.{stage}', '{mirror}', '{{{columns}}}')")
        heard += notices(shops.warehouse, f"call etl.{call}")
    assert [line.split(",")[0] for line in heard] == [
        "dwh.dim_store: add column size integer",
        "dwh.fact_visit: add column share numeric",
        "dwh.fact_scan: add column shout text",
    ]
    for line in heard:
        shops.warehouse.execute(line.split("To fill it: ")[1])
    shops.operational.execute("delete from public.scans where note = 'x'")
    shops.run("shops")
    assert shops.warehouse.query("select store_id, size from dwh.dim_store where is_current order by 1") == [
        (0, None), (1, 7), (2, 7), (9, None)
    ]  # fmt: skip
    assert shops.warehouse.query("select visit_id, share from dwh.fact_visit order by 1") == [
        (1, 5), (2, Decimal("3.125")), (3, Decimal("0.875")), (4, Decimal("-0.125"))
    ]  # fmt: skip
    assert shops.warehouse.query("select store_id, note, shout from dwh.fact_scan order by 1, 2") == [
        (0, "lost", "LOST"), (1, None, None), (1, None, None), (2, "", "")
    ]  # fmt: skip
    assert shops.warehouse.query("select total from dwh.metric_fact where measure = 'share'") == [(Decimal("8.875"),)]


NORTH = """
create schema north;
create table north.stores (id int primary key, name text, city text);
insert into north.stores values (1, 'Nord', 'Kiel'), (7, 'Förde', 'Flensburg');
create table north.scans (store_id int, weight numeric, note text);
insert into north.scans values (1, 1.50, null), (7, 2, 'n'), (null, 4, 'lost too');
grant usage on schema north to headrace_source;
grant select on all tables in schema north to headrace_source
"""
CHAIN = """
call etl.add_table('op', 'public.stores', pipeline => 'shops');
call etl.add_table('north', 'north.stores', pipeline => 'shops');
call etl.create_stage('stg.store', 'stores', '{"store_id": "c.id::bigint", "name": "btrim(c.name)"}');
call etl.create_stage('stg.store_north', 'north_stores', '{"store_id": "c.id::bigint", "name": "c.name"}');
call etl.unite_stages('stg.any_store', 'stg.store', 'stg.store_north');
call etl.add_dimension('dwh.dim_store', 'stg.any_store', 'store_key', 'store_id', '{name}');
call etl.create_stage('stg.scan', 'scans', '{"store_id": "c.store_id::bigint", "weight": "c.weight"}',
                      reason => $$case when c.store_id is null then 'the scan has no store' end$$);
call etl.create_stage('stg.scan_north', 'north_scans', '{"store_id": "c.store_id::bigint", "weight": "c.weight"}',
                      reason => $$case when c.store_id is null then 'the scan has no store' end$$);
call etl.unite_stages('stg.any_scan', 'stg.scan', 'stg.scan_north');
call etl.add_fact('dwh.fact_scan', 'stg.any_scan', '{dwh.dim_store}', measures => '{weight}');
"""


@pytest.mark.parametrize("capture", ["full", "log"])
def test_one_star_over_two_sources(source: Flow, capture: str) -> None:
    """Tables of one name in two sources become one dimension and one fact; equal keys and dirty rows are kept apart.

    With a log table of one cluster in the pipeline, the other one's is refused, since both would have one slot.
    """
    warehouse, operational = source.warehouse, source.operational
    may_replicate(operational)
    operational.execute(SHOPS + NORTH)
    server = operational.server
    warehouse.execute(
        "call etl.add_source('north', jsonb_build_object('host', %s::text, 'port', %s::text, 'dbname', %s::text), %s,"
        " %s)",
        [server.host, str(server.port), operational.name, SOURCE_ROLE, server.passwords[SOURCE_ROLE]],
    )
    if capture == "log":
        add_log_table(source, "public.scans", "shops")
        with raises("22023", message="from source op already, which is in the same PostgreSQL cluster", hint="'full'"):
            warehouse.execute("call etl.add_table('north', 'north.scans', pipeline => 'shops', capture => 'log')")
    else:
        source.add_table("public.scans", "shops")
    warehouse.execute("call etl.add_table('north', 'north.scans', pipeline => 'shops')")
    warehouse.execute(CHAIN)
    source.run("shops")
    scans = (
        "select f.source, f.store_id, d.name, f.weight from dwh.fact_scan f join dwh.dim_store d using (store_key)"
        " order by 1, 2, 4"
    )
    assert warehouse.query(scans) == [
        ("north", 1, "Nord", Decimal("1.5")),
        ("north", 7, "Förde", 2),
        ("op", 1, "Centre", Decimal("1.5")),
        ("op", 1, "Centre", Decimal("1.5")),
        ("op", 1, "Centre", Decimal("1.5")),
        ("op", 2, "Harbour", 7),
    ]
    quarantine = "select mirror, stage, row_data ->> 'note' from stg.quarantine order by 1"
    assert warehouse.query(quarantine) == [
        ("north_scans", "stg.any_scan", "lost too"),
        ("scans", "stg.any_scan", "lost"),
    ]
    operational.execute(
        "update north.scans set store_id = 7 where note = 'lost too'; delete from public.scans where store_id = 1;"
        " update north.stores set name = 'Süd' where id = 1"
    )
    source.run("shops")
    operational.execute("insert into north.scans values (1, 9, 'new')")
    source.run("shops")
    expected = [
        ("north", 1, "Nord", Decimal("1.5")),
        ("north", 1, "Süd", 9),
        ("north", 7, "Förde", 2),
        ("north", 7, "Förde", 4),
        ("op", 2, "Harbour", 7),
    ]
    assert warehouse.query(scans) == expected
    assert [row[1:] for row in warehouse.query(quarantine)] == [("stg.any_scan", "lost")]
    for table in ("dwh.fact_scan", "dwh.dim_store"):
        warehouse.call("etl.rebuild", relation=table)
    assert warehouse.query(scans) == expected
    warehouse.execute("call etl.remove_pipeline('shops')")
    assert warehouse.query("select stage from etl.stage where stage ~ 'any|north'") == []
    assert warehouse.value("select to_regprocedure('stg.any_scan(bigint)')") is None


def test_a_dimension_that_is_loaded_from_another_stage(source: Flow) -> None:
    """Its step goes with it, also into another pipeline: what changes there arrives, and nothing of it is lost."""
    source.operational.execute(SHOPS + "create table public.branches (id int, name text)")
    source.warehouse.execute(
        "call etl.add_table('op', 'public.stores', pipeline => 'shops');"
        "call etl.add_table('op', 'public.branches', pipeline => 'shops');"
        "call etl.add_table('op', 'public.visits', pipeline => 'others');"
        """call etl.create_stage('stg.store', 'stores', '{"store_id": "c.id::bigint", "name": "c.name"}');"""
        """call etl.create_stage('stg.branch', 'branches', '{"store_id": "c.id::bigint", "name": "c.name"}');"""
        """call etl.create_stage('stg.seen', 'visits', '{"store_id": "c.store_id::bigint", "name": "null::text"}')"""
    )
    add = "call etl.add_dimension('dwh.dim_store', %s, 'store_key', 'store_id', '{name}')"
    members = "select store_id from dwh.dim_store where is_current order by 1"
    source.warehouse.execute(add, ["stg.store"])
    source.run("shops")
    source.warehouse.execute(add, ["stg.branch"])
    source.operational.execute("insert into public.branches values (5, 'Fifth')")
    source.run("shops")
    assert source.warehouse.query(members) == [(1,), (2,), (5,)]
    source.warehouse.execute(add, ["stg.seen"])
    source.run("others")
    assert source.warehouse.query(members) == [(1,), (2,), (5,), (9,)]
    assert source.warehouse.query("select pipeline, stages, depends_on from etl.step where step = 'dim_store'") == [
        ("others", ["stg.seen"], ["judge"])
    ]
    with raises("22023", message="several mirrors of one source: stores, visits", hint="a view"):
        source.warehouse.execute("call etl.unite_stages('stg.both', 'stg.store', 'stg.seen')")
    source.warehouse.execute(
        "call etl.add_stage('stg.both', 'stores', 'visits');"
        'create function stg.both(p_batch bigint) returns table (change_seq bigint, op "char", origin bigint,'
        " source text, store_id bigint, name text, reason text) language sql stable as"
        " $$ select * from stg.store(p_batch) union all select * from stg.seen(p_batch) $$"
    )
    with raises("22023", message="stg.both reads mirrors of several pipelines: others, shops", hint="one pipeline"):
        source.warehouse.execute(add, ["stg.both"])


REFUSED = [  # call, SQLSTATE, words of message or detail, words of hint
    ("create_stage('stg.x', 'nix', '{\"a\": \"1\"}')", "42704", "there is no mirror nix", "etl.add_table"),
    ("create_stage('stg.x', 'stores', '{\"a\": \"c.nix\"}')", "42703", "cannot be made: column c.nix", "c.id, c.name"),
    ("create_stage('stg.x', 'stores', '{\"a\": \"1\"}', 'c.id = 1')", "42804", "true or false: c.id = 1", "case when"),
    ("unite_stages('stg.x', 'stg.visit', 'stg.scan')", "22023", "Missing: stg.scan: visit_id bigint", "of the first"),
    ("unite_stages('stg.x', 'stg.visit', 'stg.visit')", "22023", "several mirrors of one source: visits", "a view"),
    ("unite_stages('stg.x', 'stg.visit', 'stg.nix')", "42883", "no stage function stg.nix", "create_stage"),
    ("unite_stages('stg.customer', 'stg.visit')", "42723", "did not make", "another name"),
    ("create_stage('stg.x', 'stores', '{}')", "42704", "has no columns", "expression"),
    ("create_stage('stg.customer', 'stores', '{\"a\": \"1\"}')", "42723", "did not make", "another name"),
    ("add_stage('stg.odd', 'stores')", "42703", "not return: origin (bigint), reason (text)", "Every stage"),
    ("add_dimension('dwh.dim_x', 'stg.store', 'x', 'store_id', '{nix}')", "42703", "not return: nix", "names"),
    ("add_dimension('dwh.dim_x', 'stg.nix', 'x_key', 'x', '{y}')", "42883", "no stage function stg.nix", "create"),
    ("add_fact('dwh.fact_x', 'stg.visit', '{dwh.dim_nix}')", "42704", "registered: dwh.dim_nix", "etl.add_dimension"),
    ("add_fact('dwh.fact_x', 'stg.visit', key => '{nix}')", "42703", "does not return: nix", "under the names"),
    ("add_fact('dwh.fact_x', 'stg.scan', measures => '{note,nix}')", "42804", "numbers: nix, note", "Cast it"),
    ("remove_stage('stg.store')", "2BP01", "still read by: dwh.dim_store", "etl.remove_dimension"),
    ("remove_dimension('dwh.dim_store')", "2BP01", "dwh.fact_scan, dwh.fact_visit", "etl.remove_fact"),
    ("remove_step('shops', 'dim_store')", "2BP01", "fact_visit, fact_scan", "etl.add_step"),
    ("remove_step('shops', 'nix')", "42704", "no step nix", "etl.step"),
    ("remove_stage('stg.nix')", "42704", "no stage stg.nix", "etl.stage"),
    ("remove_dimension('dwh.nix')", "42704", "no dimension dwh.nix", "etl.dimension"),
    ("remove_fact('dwh.nix')", "42704", "no fact dwh.nix", "etl.fact"),
    ("remove_pipeline('shops')", "2BP01", "view dwh.big_visits depends on table dwh.fact_visit", "Drop these first"),
    ("remove_pipeline('nix')", "42704", "no pipeline nix", "etl.pipeline"),
]  # fmt: skip


def test_what_is_refused(shops: Flow) -> None:
    """Whoever calls wrongly is told what is missing and what to do, and nothing is half done."""
    shops.warehouse.execute(
        'create function stg.odd(p_batch bigint) returns table (change_seq bigint, op "char", origin int, source text)'
        " language sql as $$ select 1, 'I'::\"char\", 1, 'op' $$"
    )
    shops.warehouse.execute("create view dwh.big_visits as select * from dwh.fact_visit where visitors > 30")
    before = contents(shops.warehouse)
    for statement, sqlstate, message, hint in REFUSED:
        with raises(sqlstate, message=message, hint=hint):
            shops.warehouse.execute(f"call etl.{statement}")
    assert contents(shops.warehouse) == before


def test_one_by_one_everything_goes(source: Flow) -> None:
    """What the calls made, the calls take away; in the end nothing is left but the log."""
    source.operational.execute(SHOPS)
    before = contents(source.warehouse)
    source.warehouse.execute(STAR)
    source.run("shops")
    source.warehouse.execute(
        "call etl.remove_fact('dwh.fact_visit'); call etl.remove_fact('dwh.fact_scan'); call"
        " etl.remove_stage('stg.scan');"
        "call etl.remove_dimension('dwh.dim_store'); call etl.remove_stage('stg.visit'); call"
        " etl.remove_stage('stg.store')"
    )
    assert source.warehouse.query("select step from etl.step where pipeline = 'shops'") == []
    source.warehouse.execute("call etl.remove_pipeline('shops')")
    assert contents(source.warehouse) == before
    assert source.warehouse.value("select count(*) from etl.run_log where pipeline = 'shops'") == 1


# ----------------------------------------------------------------------------------------------------------------------
# The example
# ----------------------------------------------------------------------------------------------------------------------
def play(database: Database, file: Path) -> None:
    """Run a file as its first lines say."""
    done = psql(database, "-f", str(file))
    assert done.returncode == 0, done.stderr


def bench(operational: Database, *arguments: str) -> None:
    """Run pgbench."""
    done = subprocess.run(["pgbench", *arguments, operational.dsn], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def assert_bank_equals_source(flow: Flow) -> None:
    """Compare facts, dimension, metric and check of the example with pgbench's tables."""
    rows = "select {}, {}, {}, {} from {} order by 1, 2, 3, 4"
    assert flow.warehouse.query(
        rows.format("account_id", "teller_id", "amount", "made_at", "dwh.fact_transaction")
    ) == flow.operational.query(rows.format("aid", "tid", "delta", "mtime", "public.pgbench_history"))
    assert flow.warehouse.query(
        "select account_id, branch_id from dwh.dim_account where is_current and not is_inferred order by 1"
    ) == flow.operational.query("select aid, bid from public.pgbench_accounts order by 1")
    assert flow.warehouse.query(
        "select sum(transactions)::bigint, sum(amount)::bigint from dwh.metric_transactions"
    ) == flow.operational.query("select nullif(count(*), 0), sum(delta) from public.pgbench_history")
    assert flow.warehouse.query(
        "select sum(total) filter (where measure is null)::bigint, sum(total) filter (where measure = 'amount')::bigint"
        " from dwh.metric_fact where fact = 'dwh.fact_transaction'"
    ) == flow.operational.query("select nullif(count(*), 0), sum(delta) from public.pgbench_history")
    assert flow.last_run(pipeline="bank") == ("succeeded",)
    assert flow.warehouse.query("select status from etl.check_log order by check_log_id desc limit 1") == [("passed",)]


def test_the_example(source: Flow) -> None:
    """Install, traffic, runs, facts equal the source, and nothing is left afterwards."""
    bench(source.operational, "--initialize", "--quiet")
    source.operational.execute("delete from public.pgbench_accounts where aid > 2000")
    before = contents(source.warehouse)
    play(source.operational, EXAMPLE / "source.sql")
    play(source.warehouse, EXAMPLE / "star.sql")
    source.run("bank")
    assert_bank_equals_source(source)
    bench(source.operational, "--client=2", "--transactions=50", "--no-vacuum")
    source.run("bank")
    assert_bank_equals_source(source)
    assert source.warehouse.value("select count(*) from dwh.dim_account where is_inferred") > 0
    source.operational.execute(
        "update public.pgbench_accounts set bid = 2 where aid <= 10; delete from public.pgbench_accounts where aid ="
        " 11;"
        "insert into public.pgbench_history (tid, bid, aid, delta, mtime) select 1, 1, 1, 5, '2026-01-01' from"
        " generate_series(1, 3);"
        "insert into public.pgbench_history (tid, bid, aid, delta, mtime) values (1, 1, null, 5, '2026-01-01');"
    )
    source.run("bank")
    assert source.warehouse.query("select reason from stg.quarantine") == [("the transaction has no account",)]
    source.operational.execute(
        "delete from public.pgbench_history where aid is null or ctid in"
        " (select ctid from public.pgbench_history where mtime = '2026-01-01' limit 2)"
    )
    source.run("bank")
    assert_bank_equals_source(source)
    with source.warehouse.connect("headrace_reader") as reader:
        assert reader.execute("select branch_id from dwh.metric_transactions where day = '2026-01-01'").fetchall() == [
            (2,)
        ]
    assert {
        ("op.public.pgbench_history", "source"),
        ("mrr.pgbench_history", "mirror"),
        ("stg.transaction", "stage"),
        ("dwh.dim_account", "dimension"),
        ("dwh.fact_transaction", "fact"),
        ("dwh.metric_transactions", "metric"),
    } <= set(source.warehouse.query("select node, kind from dwh.metric_lineage_node"))
    assert ("bank",) in source.warehouse.query("select pipeline from dwh.metric_pipeline")
    assert "dwh.fact_transaction" in str(source.warehouse.value("select dwh.dashboard()"))
    play(source.warehouse, EXAMPLE / "drop.sql")
    assert contents(source.warehouse) == before
    play(source.warehouse, EXAMPLE / "star.sql")
    source.run("bank")
    assert_bank_equals_source(source)
