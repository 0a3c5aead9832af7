"""Hostile names, hostile values, planted objects, and roles that try more than they may."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.capture import add_log_table, may_replicate
from tests.conftest import ROOT, SOURCE_ROLE
from tests.support import Database, Flow, raises

NAMES = {
    "double quote": 'a "b" c',
    "quote": "it's",
    "dollars": "$$ $a$ $1",
    "format": "%I %s %L %1$I %% %",
    "line break": "one\ntwo\r\n\tthree",
    "63 bytes": "x" * 63,
    "62 bytes of two": "é" * 31,
    "right to left": "\u202eabc\u200f\u2066",
    "statement": "x\"; drop table dwh.fact_sales; --';drop schema dwh; --",
    "braces": '{a,"b"} \\ \\\' [1]',
    "keyword": "select",
    "comment": "/* -- */",
    "space": " ",
    "dots": "a.b.c",
}
OUR_SCHEMAS = ["etl", "mrr", "stg", "dwh", "etl_ext"]


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    """Return a name that somebody may give to a table, a column or a constraint."""
    return str(request.param)


def make_hostile_table(database: Database, name: str, *, keyed: bool = True) -> str:
    """Make a table at the source whose schema, name, columns and constraints all have the name; return it as in SQL."""
    table = sql.Identifier(name[:25] + "S", name).as_string(None)
    parts = {
        "schema": sql.Identifier(name[:25] + "S"),
        "table": sql.SQL(table),
        "column": sql.Identifier(name),
        "constraint": sql.Identifier(name[:20] + "K"),
        "check": sql.Identifier(name[:20] + "C"),
        "role": sql.Identifier(SOURCE_ROLE),
        "key": sql.SQL("primary key" if keyed else "unique"),
    }
    database.connection.execute(
        sql.SQL(
            "create schema {schema}; create table {table} (id int constraint {constraint} {key},"
            " {column} text constraint {check} check ({column} <> '')); grant usage on schema {schema} to {role};"
            " grant select on {table} to {role};"
            " insert into {table} values (1, 'a'), (2, '%I'), (3, '$$'), (4, null), (5, e'\\n\"')"
        ).format(**parts)
    )
    return table


def change(database: Database, table: str, name: str) -> None:
    """Change rows of such a table."""
    database.connection.execute(
        sql.SQL(
            "update {table} set {column} = 'it''s' where id = 1; delete from {table} where id = 2;"
            " insert into {table} values (6, {value})"
        ).format(table=sql.SQL(table), column=sql.Identifier(name), value=sql.Literal(name))
    )


def assert_unharmed(flow: Flow) -> None:
    """See that nothing was dropped."""
    assert flow.warehouse.query("select to_regclass('dwh.fact_sales') is not null") == [(True,)]


# ----------------------------------------------------------------------------------------------------------------------
# Names
# ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without a key"])
def test_hostile_table(source: Flow, name: str, keyed: bool) -> None:
    """A table of any name is registered, captured, changed, rebuilt, watched and removed as any other."""
    table = make_hostile_table(source.operational, name, keyed=keyed)
    pipeline = name[:40]
    source.add_table(table, pipeline)
    source.run(pipeline)
    source.assert_mirror_equals_source(table)
    change(source.operational, table, name)
    source.run(pipeline)
    source.assert_mirror_equals_source(table)
    mirror = source.warehouse.value("select mirror from etl.source_table")
    source.warehouse.execute("call etl.rebuild(%s)", [sql.Identifier("mrr", mirror).as_string(None)])
    source.warehouse.execute("call etl.pause(%s, %s)", [pipeline, name])
    source.run(pipeline, force=True)
    source.warehouse.execute("call etl.resume(%s)", [pipeline])
    source.warehouse.execute("call etl.set_timeouts(%s, run => '1 hour')", [pipeline])
    source.warehouse.execute(
        "call etl.add_check_not_null(%s, %s, %s, 'warn')",
        [pipeline, sql.Identifier("mrr", mirror).as_string(None), name],
    )
    source.operational.connection.execute(sql.SQL("insert into {} values (7, 'z')").format(sql.SQL(table)))
    source.run(pipeline)
    source.assert_mirror_equals_source(table)
    assert source.warehouse.query("select rows_found::int from etl.check_log") == [(1,)]
    assert source.warehouse.value("select last_status from etl.status where pipeline = %s", [pipeline]) == "succeeded"
    assert source.warehouse.query("select * from etl.metrics where labels ->> 'pipeline' = %s", [pipeline])
    source.warehouse.execute("call etl.remove_table('op', %s)", [table])
    assert source.warehouse.query("select * from etl.source_table") == []
    assert_unharmed(source)


@pytest.mark.parametrize("mask", ["drop", "hash", "truncate"])
def test_hostile_masked_column(source: Flow, name: str, mask: str) -> None:
    """A masked column of any name is masked."""
    table = make_hostile_table(source.operational, name)
    masks: dict[str, dict[str, object]] = {
        "drop": {"drop_columns": [name]},
        "hash": {"hash_columns": [name]},
        "truncate": {"truncate_columns": Jsonb({name: 1})},
    }
    source.add_table(table, "hostile", **masks[mask])
    source.run("hostile")
    change(source.operational, table, name)
    source.run("hostile")
    source.assert_mirror_equals_source(table, without=[name])
    mirror = source.warehouse.value("select mirror from etl.source_table")
    rows = source.warehouse.connection.execute(
        sql.SQL("select t::text from {} as t").format(sql.Identifier("mrr", mirror))
    ).fetchall()
    assert not [row for (row,) in rows if "it's" in row]
    assert_unharmed(source)


def test_hostile_tables_by_log(source: Flow) -> None:
    """Tables of any name are captured by log."""
    may_replicate(source.operational)
    tables = {}
    for name in NAMES.values():
        tables[name] = make_hostile_table(source.operational, name)
        add_log_table(source, tables[name], "log")
    source.run("log")
    for name, table in tables.items():
        change(source.operational, table, name)
    source.run("log")
    for table in tables.values():
        source.assert_mirror_equals_source(table)
    for table in tables.values():
        source.warehouse.execute("call etl.remove_table('op', %s, force => true)", [table])
    assert_unharmed(source)


def test_hostile_source_name(operational: Database, warehouse: Database, name: str) -> None:
    """A source of any name of up to 55 bytes works; a longer one is refused."""
    server = operational.server
    statement = (
        "call etl.add_source(%s, jsonb_build_object('host', %s::text, 'port', %s::text, 'dbname', %s::text), %s, %s)"
    )
    arguments = [
        server.host,
        str(server.port),
        operational.name,
        SOURCE_ROLE,
        server.passwords[SOURCE_ROLE],
    ]
    if len(name.encode()) > 55:
        with raises("22023", message="a source cannot be named"):
            warehouse.execute(statement, [name, *arguments])
        return
    warehouse.execute(statement, [name, *arguments])
    operational.execute("insert into public.customers values (1, 'Ada', 'GB')")
    warehouse.call("etl.add_table", source=name, source_table="public.customers", pipeline="p")
    warehouse.execute("call etl.run('p')")
    assert warehouse.query("select id, name from mrr.customers") == [(1, "Ada")]
    warehouse.execute("call etl.remove_table(%s, 'public.customers', force => true)", [name])
    warehouse.execute("call etl.remove_source(%s)", [name])
    assert warehouse.query("select * from etl.source") == []


def test_hostile_types(source: Flow) -> None:
    """Types and labels that a source names as it likes do not run as statements here."""
    hostile = NAMES["statement"]
    source.operational.connection.execute(
        sql.SQL(
            "create type public.{name} as enum ({label}, 'b'); create domain public.{domain} as int check (value > 0);"
            " create table public.t (id int primary key, v public.{name}, d public.{domain});"
            " insert into public.t values (1, {label}, 1), (2, 'b', 2)"
        ).format(
            name=sql.Identifier(hostile),
            domain=sql.Identifier("%I $$\n" + hostile[:30]),
            label=sql.Literal("x'); drop table dwh.fact_sales; --"),
        )
    )
    source.add_table("public.t", "t")
    source.run("t")
    source.assert_mirror_equals_source("public.t")
    source.operational.connection.execute(
        sql.SQL("alter type public.{} add value {}").format(
            sql.Identifier(hostile), sql.Literal("y'); drop table dwh.fact_sales; --")
        )
    )
    source.run("t")
    assert_unharmed(source)


# ----------------------------------------------------------------------------------------------------------------------
# Values in the registry
# ----------------------------------------------------------------------------------------------------------------------
INJECTION = "now(); drop table dwh.fact_sales; --"


@pytest.mark.parametrize(
    "statement",
    [
        "update etl.step set routine = %(x)s where step = 'fact_sales'",
        "update etl.step set routine = 'dwh.load_fact_sales; drop table dwh.fact_sales' where step = 'fact_sales'",
        "update etl.dimension set business_key = array[%(x)s] where dimension = 'dwh.dim_product'",
        "update etl.dimension set attributes = array[%(x)s] where dimension = 'dwh.dim_product'",
        "update etl.dimension set surrogate_key = %(x)s where dimension = 'dwh.dim_product'",
        "update etl.source_column set column_name = %(x)s where column_name = 'qty'",
        "update etl.source_column set mirror_type = %(x)s where column_name = 'qty'",
        "update etl.source_table set source_name = %(x)s where mirror = 'sales'",
        "update etl.source_table set source_schema = %(x)s where mirror = 'sales'",
        "update etl.source_table set key_columns = array[%(x)s] where mirror = 'products'",
        "update etl.pipeline set on_success = %(x)s where pipeline = 'sales'",
        "insert into etl.check_rule (pipeline, check_name, severity, query)"
        " values ('sales', 'x', 'warn', 'select 1) c) q; drop table dwh.fact_sales; --')",
        "insert into etl.check_rule (pipeline, check_name, severity, query)"
        " values ('sales', 'x', 'warn', 'with x as (delete from dwh.fact_sales returning 1) select * from x')",
    ],
)
def test_registry_values_are_no_statements(sales: Flow, statement: str) -> None:
    """A value that is written into the registry past its calls makes a run fail at most; nothing else is executed."""
    sales.seed()
    sales.run()
    facts = sales.warehouse.query("select * from dwh.fact_sales order by sale_key")
    sales.operational.execute("update public.products set name = 'x' where id = 1")
    try:
        sales.warehouse.execute(statement, {"x": INJECTION})
        sales.run()
    except psycopg.Error as error:
        assert error.sqlstate, error
    assert_unharmed(sales)
    assert sales.warehouse.query("select * from dwh.fact_sales order by sale_key") == facts


@pytest.mark.parametrize(
    "call",
    [
        "call etl.add_table('op', 'public.customers; drop table dwh.fact_sales', 'p')",
        "call etl.add_table('op', 'public.customers', 'p', key => array[%(x)s])",
        "call etl.add_table('op', 'public.customers', 'p', capture => %(x)s)",
        "call etl.add_table('op', 'public.customers', 'p', capture => 'watermark', watermark => %(x)s)",
        "call etl.add_table('op', 'public.customers', 'p', capture => 'watermark', watermark => 'id',"
        " overlap => %(x)s)",
        "call etl.add_table('op', 'public.customers', 'p', hash_columns => array[%(x)s])",
        "call etl.set_callbacks('sales', on_success => %(x)s)",
        "call etl.rebuild(%(x)s)",
        "call etl.run(%(x)s)",
        "call etl.add_check_not_null('sales', %(x)s, 'id')",
        "call etl.add_check_not_null('sales', 'dwh.fact_sales', %(x)s)",
        "call etl.add_check_unique('sales', 'dwh.fact_sales', array[%(x)s])",
        "call etl.add_check_relationship('sales', 'dwh.fact_sales', 'qty', %(x)s, 'qty')",
        "call etl.add_check_row_count_change('sales', %(x)s, 0.1)",
        "call etl.add_check_sum_preserved('sales', 'select 1', 'select 1) ; drop table dwh.fact_sales; --')",
    ],
)
def test_arguments_are_no_statements(source: Flow, call: str) -> None:
    """An argument that tries to be a statement is refused with an error."""
    with pytest.raises(psycopg.Error) as caught:
        source.warehouse.execute(call, {"x": INJECTION})
    assert caught.value.sqlstate
    assert_unharmed(source)


# ----------------------------------------------------------------------------------------------------------------------
# Planted objects
# ----------------------------------------------------------------------------------------------------------------------
PLANTED = """
    create sequence public.sprung;
    grant all on sequence public.sprung to public;
    grant usage on schema public to public;
    create function public.spring() returns boolean language sql as $$ select nextval('public.sprung') > 0 $$;
    create function public.format(text, variadic text[]) returns text language sql
        as $$ select nextval('public.sprung')::text $$;
    create function public.format(text, text) returns text language sql as $$ select nextval('public.sprung')::text $$;
    create function public.coalesce_all(text) returns text language sql as $$ select nextval('public.sprung')::text $$;
    create function public.current_setting(text) returns text language sql
        as $$ select nextval('public.sprung')::text $$;
    create function public.clock_timestamp() returns timestamptz language sql
        as $$ select now() from (select nextval('public.sprung')) x $$;
    create function public.now() returns timestamptz language sql
        as $$ select '2000-01-01'::timestamptz from (select nextval('public.sprung')) x $$;
    create function public.equal(text, text) returns boolean language sql as $$ select public.spring() $$;
    create operator public.= (leftarg = text, rightarg = text, function = public.equal);
    create function public.less(int, int) returns boolean language sql as $$ select public.spring() $$;
    create operator public.> (leftarg = int, rightarg = int, function = public.less);
    create view public.settings as select public.spring();
    create table public.pipeline (pipeline text);
    create table public.pg_class (oid oid);
"""


def test_planted_in_public(sales: Flow) -> None:
    """Whatever somebody planted in ``public``, first in the session's search path, is not called by a run."""
    sales.seed()
    sales.warehouse.execute(PLANTED)
    with sales.warehouse.connect("headrace_runner") as runner:
        runner.execute("set search_path = public, pg_catalog")
        runner.execute("call etl.run('sales')")
        runner.execute("call etl.run()")
        runner.execute("call etl.run_loop('sales', '1 second', '1 second')")
        runner.execute("call etl.cancel_overdue()")
        runner.execute("call etl.purge()")
        runner.execute("call dwh.insert_procedure_info()")
    with sales.warehouse.connect("headrace_reader") as reader:
        reader.execute("set search_path = public, pg_catalog")
        reader.execute("select dwh.most_popular_product()")
    with sales.warehouse.connect("headrace_monitor") as monitor:
        monitor.execute("set search_path = public, pg_catalog")
        for view in ("status", "progress", "metrics"):
            monitor.execute(sql.SQL("select * from etl.{}").format(sql.Identifier(view)))
    assert sales.warehouse.value("select is_called from public.sprung") is False
    sales.assert_facts_equal_model()
    # the trap works: somebody who does not qualify names falls into it
    sales.warehouse.execute("set search_path = public, pg_catalog; select now(); reset search_path")
    assert sales.warehouse.value("select is_called from public.sprung") is True


def test_planted_in_pg_temp(sales: Flow) -> None:
    """Temporary tables that have the names of ours are not read; the roles that work cannot even make one."""
    sales.seed()
    with sales.warehouse.connect() as session:
        for table in ("pipeline", "settings", "source_table", "batch", "fact_sales", "pg_class", "pg_foreign_server"):
            session.execute(sql.SQL("create temporary table {} (a int)").format(sql.Identifier(table)))
        session.execute("set search_path = pg_temp, pg_catalog")
        session.execute("call etl.run('sales')")
        session.execute("call dwh.insert_procedure_info()")
    sales.assert_facts_equal_model()
    for role in ("headrace_runner", "headrace_monitor", "headrace_reader"):
        with sales.warehouse.connect(role) as session:
            for statement in (
                "create temporary table pipeline (a int)",
                "create function pg_temp.now() returns int language sql as 'select 1'",
                "create table public.x (a int)",
            ):
                with raises("42501"):
                    session.execute(statement)


# ----------------------------------------------------------------------------------------------------------------------
# Roles
# ----------------------------------------------------------------------------------------------------------------------
CALLABLE = {
    "headrace_reader": {
        "dwh.dashboard",
        "dwh.dashboard_answer",
        "dwh.dashboard_data",
        "dwh.most_popular_product",
        "dwh.sales_of_customer",
    },
    "headrace_monitor": {
        "etl.check_source",
        "etl.dbt_sources",
        "etl.lock_class",
        "etl.next_tick",
        "etl.overdue",
        "etl.warehouse_id",
    },
}
ESCALATIONS = (
    "set role headrace_owner",
    "set role postgres",
    "set session authorization headrace_owner",
    "alter role headrace_reader superuser",
    "grant headrace_owner to current_user",
    "create role mine",
    "create extension adminpack",
    "create language plpython3u",
    "copy (select 1) to program 'true'",
    "copy (select 1) to '/tmp/headrace-escaped'",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/passwd')",
    "alter system set ssl = off",
    "select pg_reload_conf()",
    "create server mine foreign data wrapper postgres_fdw",
    "create user mapping for current_user server op",
    "alter server op options (set host 'evil')",
    "create schema mine",
    "create event trigger mine on ddl_command_start execute function pg_catalog.now()",
    "select pg_catalog.pg_create_logical_replication_slot('mine', 'pgoutput')",
    "create function dwh.mine() returns int language sql as 'select 1'",
    "create or replace function dwh.most_popular_product(country text default null, product_group text default null,"
    " first_day date default null, last_day date default null) returns text language sql as 'select 1'",
    "alter function dwh.most_popular_product(text, text, date, date) owner to current_user",
    "insert into etl.check_rule (pipeline, check_name, severity, query) values ('sales', 'x', 'warn', 'select 1')",
    "update etl.pipeline set on_success = 'pg_catalog.now'",
    "select umoptions[1] from pg_catalog.pg_user_mapping",
    "select rolpassword from pg_catalog.pg_authid",
)


@pytest.mark.parametrize("role", CALLABLE)
def test_role_tries_every_routine(sales: Flow, role: str) -> None:
    """A role that reads calls every routine of ours that the catalogue shows it: all but its own are closed."""
    sales.seed()
    sales.run()
    opened = set()
    with sales.warehouse.connect(role, autocommit=False) as session:
        routines = session.execute(
            "select n.nspname, p.proname, p.prokind, p.provariadic <> 0,"
            " (select array_agg(format_type(t.type, null) order by t.position)"
            " from unnest(p.proargtypes) with ordinality as t (type, position)) from pg_catalog.pg_proc as p"
            " join pg_catalog.pg_namespace as n on n.oid = p.pronamespace"
            " where n.nspname = any (%s) and p.prokind in ('f', 'p')"
            " and p.prorettype not in ('trigger'::regtype, 'internal'::regtype)"
            " and not 'internal'::regtype = any (p.proargtypes::oid[])",
            [OUR_SCHEMAS],
        ).fetchall()
        assert len(routines) > 150
        for schema, routine, kind, is_variadic, types in routines:
            form = "null::{}" if kind == "p" else "(select null::{})"  # a bare null is not handed to a strict function
            arguments: list[sql.Composable] = [sql.SQL(form.format(argument)) for argument in types or []]
            if is_variadic:
                arguments[-1] = sql.SQL("variadic {}").format(arguments[-1])
            call = sql.SQL("{verb} {routine}({arguments})").format(
                verb=sql.SQL("call" if kind == "p" else "select"),
                routine=sql.Identifier(schema, routine),
                arguments=sql.SQL(", ").join(arguments),
            )
            try:
                session.execute(call)
                opened.add(f"{schema}.{routine}")
            except psycopg.errors.InsufficientPrivilege:
                pass
            except psycopg.Error as error:
                opened.add(f"{schema}.{routine}")
                assert error.sqlstate
            session.rollback()
    assert opened == CALLABLE[role]


@pytest.mark.parametrize("role", ["headrace_reader", "headrace_monitor", "headrace_runner"])
def test_role_tries_to_become_more(sales: Flow, role: str) -> None:
    """No statement that would widen its rights works for a role that works, looks or reads."""
    with sales.warehouse.connect(role) as session:
        for statement in ESCALATIONS:
            with pytest.raises(psycopg.Error) as caught:
                session.execute(sql.SQL(statement))
            assert caught.value.sqlstate in {"42501", "0A000", "58P01", "42704", "22023"}, (
                f"{statement}: {caught.value}"
            )
        assert session.execute(
            "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls from pg_catalog.pg_roles"
            " where rolname = current_user"
        ).fetchall() == [(False,) * 5]


def test_reader_hands_over_hostile_values(sales: Flow) -> None:
    """What a reader passes to its one function is a value, whatever it looks like."""
    sales.seed()
    sales.run()
    with sales.warehouse.connect("headrace_reader") as reader:
        for text in [*NAMES.values(), "' or true --", "\\'; drop table dwh.fact_sales"]:
            assert reader.execute("select dwh.most_popular_product(%s, %s)", [text, text]).fetchall() == [(None,)]
    assert_unharmed(sales)


WRITES = (
    "insert into public.sales values (1, 1, 1)",
    "update public.sales set qty = 1",
    "delete from public.sales",
    "truncate public.sales",
    "select * from public.sales for update",
    "begin; lock table public.sales in share mode",
    "copy public.sales from stdin",
    "create table public.mine (a int)",
    "create schema mine",
    "create function public.mine() returns int language sql as 'select 1'",
    "create index on public.sales (qty)",
    "create trigger mine before update on public.sales for each row"
    " execute function pg_catalog.suppress_redundant_updates_trigger()",
    "alter table public.sales add a int",
    "alter table public.sales replica identity full",
    "drop table public.sales",
    "comment on table public.sales is 'mine'",
    "create publication mine for table public.sales",
    "create publication mine for all tables",
    "create role mine",
    "alter role headrace_source createrole",
    "create extension dblink",
    "alter system set ssl = off",
    "copy (select 1) to program 'true'",
    "select pg_read_file('/etc/passwd')",
    "select rolpassword from pg_catalog.pg_authid",
    "select * from public.hidden",
)


@pytest.mark.parametrize("read_only", [True, False], ids=["as it is set up", "after it set itself to read and write"])
def test_source_role_tries_to_write(operational: Database, read_only: bool) -> None:
    """The role that Headrace reads with cannot change anything at the source, and reads only what it was granted."""
    operational.execute("alter default privileges in schema public revoke select on tables from headrace_source")
    operational.execute("create table public.hidden (a int)")
    with operational.connect(SOURCE_ROLE) as session:
        if read_only:
            assert session.execute("show default_transaction_read_only").fetchone() == ("on",)
        else:
            session.execute("set default_transaction_read_only = off")
        for statement in WRITES:
            try:
                session.execute(sql.SQL(statement))
            except psycopg.Error as error:
                assert error.sqlstate in ({"42501", "25006"} if read_only else {"42501"}), f"{statement}: {error}"
            else:
                pytest.fail(f"{statement} was let through")
            session.rollback()
        with contextlib.suppress(psycopg.errors.ReadOnlySqlTransaction):
            session.execute("grant select on public.sales to public")  # only warns that nothing was granted
        assert session.execute("select * from public.sales").fetchall() == []
    assert not operational.value("select has_table_privilege('public', 'public.sales', 'select')")


# ----------------------------------------------------------------------------------------------------------------------
# TLS to the source
# ----------------------------------------------------------------------------------------------------------------------
def openssl(directory: Path, *arguments: str) -> None:
    """Run openssl in a directory."""
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@contextmanager
def tls(server: Database, certificate: Path, key: Path) -> Iterator[None]:
    """Have a server speak TLS with a certificate; it takes the files from its own data directory."""
    data = Path(server.value("show data_directory"))
    owner = data.stat()
    placed = []
    for file in (certificate, key):
        place = data / f"test-{file.name}"
        place.write_bytes(file.read_bytes())
        place.chmod(0o600)
        os.chown(place, owner.st_uid, owner.st_gid)
        placed.append(place)
    try:
        server.execute(f"alter system set ssl_cert_file = '{placed[0]}'")
        server.execute(f"alter system set ssl_key_file = '{placed[1]}'")
        server.execute("alter system set ssl = on")
        server.execute("select pg_catalog.pg_reload_conf()")
        yield
    finally:
        for setting in ("ssl", "ssl_cert_file", "ssl_key_file"):
            server.execute(f"alter system reset {setting}")
        server.execute("select pg_catalog.pg_reload_conf()")
        for place in placed:
            place.unlink()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Make two authorities and a certificate of the first for localhost."""
    for name in ("ca", "other"):
        openssl(
            tmp_path, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.crt",
        )  # fmt: skip
    openssl(
        tmp_path, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
        "-out", "server.csr",
    )  # fmt: skip
    (tmp_path / "san").write_text("subjectAltName=DNS:localhost")
    openssl(
        tmp_path, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "1", "-extfile", "san", "-out", "server.crt",
    )  # fmt: skip
    return tmp_path


def test_tls_with_verify_full(operational: Database, warehouse: Database, certificates: Path) -> None:
    """With sslmode=verify-full a run reads over TLS; a wrong authority, name, or no TLS at all is refused."""
    data = Path(warehouse.value("show data_directory"))
    roots = {}
    for name in ("ca", "other"):
        roots[name] = data / f"test-{name}.crt"
        roots[name].write_bytes((certificates / f"{name}.crt").read_bytes())
        roots[name].chmod(0o644)

    def add(host: str, root: str) -> None:
        warehouse.execute(
            "call etl.add_source('op', jsonb_build_object('host', %s::text, 'port', %s::text, 'dbname', %s::text,"
            " 'sslmode', 'verify-full', 'sslrootcert', %s::text), %s, %s)",
            [
                host,
                str(operational.server.port),
                operational.name,
                str(roots[root]),
                SOURCE_ROLE,
                operational.server.passwords[SOURCE_ROLE],
            ],
        )

    admin = operational.server.database("postgres")
    try:
        with pytest.raises(psycopg.Error) as caught:
            add("localhost", "ca")
        assert "does not support SSL" in (caught.value.diag.message_detail or "")
        with tls(admin, certificates / "server.crt", certificates / "server.key"):
            for host, root, said in (
                ("localhost", "other", "certificate verify failed"),
                ("127.0.0.1", "ca", "does not match host name"),
            ):
                with pytest.raises(psycopg.Error) as caught:
                    add(host, root)
                assert said in (caught.value.diag.message_detail or "")
                assert warehouse.query("select * from etl.source") == []
            add("localhost", "ca")
            flow = Flow(operational, warehouse)
            operational.execute("insert into public.customers values (1, 'Ada', 'GB')")
            flow.add_table("public.customers", "p")
            operational.execute(
                "create view public.seen as select s.ssl, s.version from pg_catalog.pg_stat_ssl as s"
                " where s.pid = pg_backend_pid(); grant select on public.seen to headrace_source"
            )
            flow.add_table("public.seen", "p")
            flow.run("p")
            assert warehouse.query("select id from mrr.customers") == [(1,)]
            assert warehouse.value("select ssl from mrr.seen") is True
    finally:
        admin.close()
        for file in roots.values():
            file.unlink()


# ----------------------------------------------------------------------------------------------------------------------
# Supply chain
# ----------------------------------------------------------------------------------------------------------------------
def test_licence_of_every_dependency_is_listed() -> None:
    """docs/security.md lists the packages of the lock file, all of them and no others, and each is hashed."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z][a-z0-9-]*)==.*\\\n    --hash=sha256:", lock, re.MULTILINE)
    assert pinned == re.findall(r"^([a-z][a-z0-9-]*)\b", lock, re.MULTILINE)
    listed = re.findall(
        r"^\| `([a-z0-9-]+)` \| [\w.-]", (ROOT / "docs/security.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(pinned)
