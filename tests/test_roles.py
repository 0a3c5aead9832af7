"""Who may do what: deny by default, passwords and secrets stay where they are."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import SOURCE_ROLE
from tests.support import Database, Flow, raises

OURS = "n.nspname in ('etl', 'mrr', 'stg', 'dwh', 'op')"
RELATIONS = f"""
    select c.oid::regclass::text from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and has_schema_privilege(%(role)s, n.oid, 'usage')
      and has_table_privilege(%(role)s, c.oid, %(rights)s) order by 1"""
ANY_RIGHT = "select, insert, update, delete, truncate, references, trigger"
WRITING = "insert, update, delete, truncate, references, trigger"
CLOSED = (
    "select etl.mask_hash('x')",
    "call etl.add_source('x', '{}', 'a', 'b')",
    "call etl.add_table('op', 'public.sales')",
    "call etl.remove_table('op', 'public.sales')",
    "select etl.log_error(null, null)",
    "select etl.connect_source('op')",
    "select * from etl_ext.dblink('op', 'select 1') as r (a int)",
    "create table dwh.mine (a int)",
    "create table public.mine (a int)",
    "create schema mine",
)


def relations(flow: Flow, role: str, rights: str) -> set[str]:
    """Return the relations on which a role has one of these rights."""
    return {name for (name,) in flow.warehouse.query(RELATIONS, {"role": role, "rights": rights})}


def test_runner_has_no_right_on_any_table(sales: Flow) -> None:
    """The role of the jobs runs pipelines, and reads and writes no table itself."""
    sales.seed()
    with sales.warehouse.connect("headrace_runner") as runner:
        runner.execute("call etl.run('sales')")
        runner.execute("call etl.run()")
        for relation in ("mrr.sales", "dwh.fact_sales", "etl.run_log", "op.sales"):
            with raises("42501"):
                runner.execute(f"select * from {relation}")
    assert relations(sales, "headrace_runner", ANY_RIGHT) == set()
    sales.assert_facts_equal_model()


@pytest.mark.parametrize("role", ["headrace_runner", "headrace_reader", "headrace_monitor"])
def test_what_roles_may_not_do(sales: Flow, role: str) -> None:
    """Administration and inner routines are closed to the roles that work, look and read."""
    with sales.warehouse.connect(role) as session:
        for call in CLOSED:
            with raises("42501"):
                session.execute(call)


def test_reader_reads_dwh_only(sales: Flow) -> None:
    """The reader sees all of dwh, partitions to come included, and nothing else; it writes nothing and runs nothing."""
    sales.seed()
    sales.run()
    readable = relations(sales, "headrace_reader", "select")
    assert {name for name in readable if not name.startswith("dwh.")} == set()
    assert readable >= {
        "dwh.fact_sales",
        "dwh.dim_customer",
        "dwh.dim_product",
        "dwh.dim_date",
        "dwh.sales_by_day",
        "dwh.sales_by_product",
    }
    assert relations(sales, "headrace_reader", WRITING) == set()
    with sales.warehouse.connect("headrace_reader") as reader:
        assert reader.execute("select count(*) from dwh.fact_sales").fetchone() == (7,)
        for statement in ("call etl.run('sales')", "select * from mrr.customers", "select * from etl.run_log"):
            with raises("42501"):
                reader.execute(statement)


def test_monitor_reads_the_log_and_no_secret(sales: Flow) -> None:
    """The monitor sees how runs went, and neither business data nor secrets nor the source's password."""
    sales.seed()
    sales.run()
    readable = relations(sales, "headrace_monitor", "select")
    assert readable >= {"etl.status", "etl.progress", "etl.run_log", "etl.step_log", "etl.procedure_errors"}
    assert "etl.secret" not in readable
    assert {name for name in readable if not name.startswith("etl.")} == set()
    assert relations(sales, "headrace_monitor", WRITING) == set()
    with sales.warehouse.connect("headrace_monitor") as monitor:
        assert monitor.execute("select status from etl.run_log").fetchall() == [("succeeded",)]
        assert monitor.execute("select pipeline, last_status from etl.status").fetchall() == [("sales", "succeeded")]
        for statement in ("select * from etl.secret", "select * from stg.quarantine", "call etl.run('sales')"):
            with raises("42501"):
                monitor.execute(statement)
        assert monitor.execute("select umoptions from pg_catalog.pg_user_mappings").fetchall() == [(None,)]


def test_roles_are_small(warehouse: Database) -> None:
    """No role of ours has an attribute of power, and the owner cannot log in."""
    assert warehouse.query(
        """
        select rolname, rolcanlogin, rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
        from pg_catalog.pg_roles where starts_with(rolname, 'headrace_') and rolname <> %s order by 1
        """,
        [SOURCE_ROLE],
    ) == [
        ("headrace_monitor", True, False),
        ("headrace_owner", False, False),
        ("headrace_reader", True, False),
        ("headrace_runner", True, False),
    ]


def test_everything_belongs_to_the_owner(sales: Flow) -> None:
    """Tables, mirrors, partitions and routines are the owner's, and the public has no right on any of them."""
    sales.seed()
    sales.run()
    assert (
        sales.warehouse.query(
            f"""
            select c.oid::regclass::text, c.relowner::regrole::text from pg_catalog.pg_class as c
            join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
            where {OURS} and c.relowner <> 'headrace_owner'::regrole
            union all
            select p.oid::regprocedure::text, p.proowner::regrole::text from pg_catalog.pg_proc as p
            join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
            where {OURS} and p.proowner <> 'headrace_owner'::regrole
            """
        )
        == []
    )
    assert (
        sales.warehouse.query(
            f"""
            select c.oid::regclass::text from pg_catalog.pg_class as c
            join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
            cross join lateral pg_catalog.aclexplode(c.relacl) as a where {OURS} and a.grantee = 0
            union all
            select p.oid::regprocedure::text from pg_catalog.pg_proc as p
            join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
            cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
            where {OURS} and a.grantee = 0
            union all
            select n.nspname from pg_catalog.pg_namespace as n
            cross join lateral pg_catalog.aclexplode(n.nspacl) as a where {OURS} and a.grantee = 0
            """
        )
        == []
    )


def test_strangers_cannot_connect(warehouse_template: Database) -> None:
    """A login role without a grant does not get into the warehouse."""
    admin = warehouse_template.server.database("postgres")
    admin.execute("create role stranger login password 'stranger'")
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(warehouse_template.dsn_of("stranger", "stranger"))
    finally:
        admin.execute("drop role stranger")
        admin.close()


def test_no_password_in_log_or_error(sales: Flow) -> None:
    """Neither a right password nor a wrong one shows in an error, in the log or in the registry's tables."""
    server = sales.operational.server
    right, wrong = server.passwords[SOURCE_ROLE], "wr0ng-passw0rd"
    sales.seed()
    sales.run()
    source = (
        "call etl.add_source('op', jsonb_build_object('host', %s::text, 'port', %s::text, 'dbname', %s::text), %s, %s)"
    )
    options = [server.host, str(server.port), sales.operational.name, SOURCE_ROLE]
    with pytest.raises(psycopg.Error) as caught:
        sales.warehouse.execute(source, [*options, wrong])
    texts = [str(caught.value), repr(vars(caught.value))]

    admin = server.database("postgres")
    admin.execute(f"alter role {SOURCE_ROLE} password 'another'")
    try:
        with pytest.raises(psycopg.Error) as caught:
            sales.run()
    finally:
        admin.execute(f"alter role {SOURCE_ROLE} password '{right}'")
        admin.close()
    assert sales.last_run() == ("failed",)
    texts.append(str(caught.value))
    for (table,) in sales.warehouse.query(RELATIONS, {"role": sales.warehouse.server.user, "rights": "select"}):
        if not table.startswith("op."):
            texts += [row for (row,) in sales.warehouse.query(f"select t::text from {table} as t")]
    assert not [text for text in texts if right in text or wrong in text]
    sales.run()
    sales.assert_facts_equal_model()
