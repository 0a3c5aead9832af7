"""Handles on the databases under test, and the assertions that several test files share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit

import psycopg
import pytest
from psycopg import sql

Params: TypeAlias = Sequence[object] | Mapping[str, object] | None
Row: TypeAlias = tuple[Any, ...]

# Both servers write values in the same text form, whatever their settings are.
TEXT_FORM = "-c DateStyle=ISO -c TimeZone=UTC -c IntervalStyle=postgres -c bytea_output=hex -c extra_float_digits=1"


@dataclass(frozen=True)
class Server:
    """One running PostgreSQL server, its superuser and the passwords of its other login roles."""

    host: str
    port: int
    user: str
    password: str
    passwords: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_dsn(cls, dsn: str) -> Server:
        """Take a server from the URL of its superuser."""
        url = urlsplit(dsn)
        return cls(
            host=url.hostname or "127.0.0.1",
            port=url.port or 5432,
            user=unquote(url.username or "postgres"),
            password=unquote(url.password or ""),
        )

    def database(self, name: str) -> Database:
        """Return a handle on one of its databases."""
        return Database(server=self, name=name)


@dataclass
class Database:
    """One database; statements go through one connection of the superuser, in autocommit mode, opened when needed."""

    server: Server
    name: str
    _connection: psycopg.Connection | None = None

    @property
    def dsn(self) -> str:
        """Its URL for the superuser."""
        return self.dsn_of(self.server.user, self.server.password)

    def dsn_of(self, user: str, password: str) -> str:
        """Return its URL for a role."""
        return f"postgresql://{user}:{quote(password, safe='')}@{self.server.host}:{self.server.port}/{self.name}"

    def connect(
        self, user: str | None = None, *, autocommit: bool = True, application_name: str = ""
    ) -> psycopg.Connection:
        """Open a session of its own, with the role's password; the caller closes it."""
        role = user or self.server.user
        password = self.server.password if role == self.server.user else self.server.passwords[role]
        return psycopg.connect(
            self.dsn_of(role, password),
            autocommit=autocommit,
            options=TEXT_FORM,
            application_name=application_name or "headrace tests",
        )

    @property
    def connection(self) -> psycopg.Connection:
        """The connection that statements go through."""
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        return self._connection

    def execute(self, statement: str, params: Params = None) -> None:
        """Execute one or more statements."""
        self.connection.execute(statement, params)

    def query(self, statement: str, params: Params = None) -> list[Row]:
        """Return the rows of a query."""
        return self.connection.execute(statement, params).fetchall()

    def row(self, statement: str, params: Params = None) -> Row:
        """Return the one row of a query."""
        (row,) = self.query(statement, params)
        return row

    def value(self, statement: str, params: Params = None) -> Any:
        """Return the one value of a query."""
        (value,) = self.row(statement, params)
        return value

    def call(self, procedure: str, **arguments: object) -> None:
        """Call a procedure with named arguments."""
        given = sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in arguments.items()
        )
        self.connection.execute(sql.SQL("call {}({})").format(sql.Identifier(*procedure.split(".")), given))

    def close(self) -> None:
        """Close its connection."""
        if self._connection is not None:
            self._connection.close()


@dataclass
class Flow:
    """An operational database and the warehouse that mirrors it."""

    operational: Database
    warehouse: Database

    def run(self, pipeline: str | None = "sales", **options: object) -> None:
        """Call ``etl.run`` as a person would, in autocommit mode."""
        self.warehouse.call("etl.run", pipeline=pipeline, **options)

    def start(self, pipeline: str = "sales", user: str | None = None) -> BackgroundRun:
        """Call ``etl.run`` in a session of its own, and return while it works."""
        return BackgroundRun(self.warehouse.connect(user), f"call etl.run('{pipeline}')")

    def seed(self) -> None:
        """Fill the operational database with a few rows: duplicates, a late customer and unfit sales among them."""
        self.operational.execute(
            """
            insert into public.customers values (1, 'Ada', 'GB'), (2, ' Bo ', 'SE'), (3, 'Cleo', null);
            insert into public.products values (1, 'Saw', 'Tools'), (2, 'Axe', 'Tools'), (3, 'Tea', ' Food ');
            insert into public.sales values
                (1, 1, 2), (1, 1, 2), (1, 2, 1), (2, 3, 7), (3, 3, 1), (9, 1, 4), (2, 8, 1),
                (null, 1, 1), (1, null, 1), (1, 1, null), (1, 1, 0), (1, 1, 0), (2, 2, -3)
            """
        )

    def add_table(self, source_table: str, pipeline: str | None = None, **options: object) -> None:
        """Call ``etl.add_table`` for source ``op``."""
        self.warehouse.call("etl.add_table", source="op", source_table=source_table, pipeline=pipeline, **options)

    def last_run(self, columns: str = "status", pipeline: str = "sales") -> Row:
        """Return columns of the newest run of a pipeline."""
        return self.warehouse.row(
            f"select {columns} from etl.run_log where pipeline = %s order by run_id desc limit 1", [pipeline]
        )

    def assert_mirror_equals_source(self, source_table: str, *, without: Sequence[str] = ()) -> None:
        """Compare mirror and source as multisets of rows in text form, by EXCEPT ALL both ways.

        Args:
            source_table: the table at the source, as SQL writes its name.
            without: columns that are left out of the mirror or masked in it.
        """
        columns = [
            name
            for (name,) in self.operational.query(
                "select attname from pg_catalog.pg_attribute where attrelid = %s::text::regclass and attnum > 0"
                " and not attisdropped order by attnum",
                [source_table],
            )
            if name not in without
        ]
        image = sql.SQL("array[{}]::text").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns)
        )
        schema, table = self.operational.row(
            "select n.nspname, c.relname from pg_catalog.pg_class c"
            " join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = %s::text::regclass",
            [source_table],
        )
        mirror = self.warehouse.value(
            "select mirror from etl.source_table where source = 'op' and source_schema = %s and source_name = %s",
            [schema, table],
        )
        at_source = self.operational.connection.execute(
            sql.SQL("select {} from {}").format(image, sql.Identifier(schema, table))
        ).fetchall()
        difference = self.warehouse.connection.execute(
            sql.SQL(
                "with source (image) as (select unnest({}::text[])), mirror (image) as (select {} from {})"
                " select 'missing in the mirror', * from (select * from source except all select * from mirror) as m"
                " union all"
                " select 'not in the source', * from (select * from mirror except all select * from source) as s"
            ).format(sql.Literal([row[0] for row in at_source]), image, sql.Identifier("mrr", mirror))
        ).fetchall()
        assert difference == []

    def assert_mirrors_equal_source(self) -> None:
        """Compare the three tables of the sample."""
        for table in ("customers", "products", "sales"):
            self.assert_mirror_equals_source(f"public.{table}")

    def assert_facts_equal_model(self) -> None:
        """Compare facts, quarantine, dimensions and aggregates with what the source rows say, worked out afresh."""
        sales = self.operational.query("select customerid, productid, qty from public.sales")
        good = [row for row in sales if row[0] is not None and row[1] is not None and row[2] is not None and row[2] > 0]
        bad = [row for row in sales if row not in good]
        wh = self.warehouse
        assert sorted(wh.query("select customer_id, product_id, qty from dwh.fact_sales")) == sorted(good)
        assert sorted(
            wh.query(
                "select (row_data ->> 'customerid')::int, (row_data ->> 'productid')::int, (row_data ->> 'qty')::int"
                " from stg.quarantine where mirror = 'sales'"
            ),
            key=str,
        ) == sorted(bad, key=str)
        self._assert_members("customer", "country", "public.customers", "country")
        self._assert_members("product", "product_group", "public.products", "groupname")
        self.assert_aggregates_equal_facts()

    def _assert_members(self, name: str, attribute: str, table: str, source_attribute: str) -> None:
        current = self.warehouse.query(
            f"select {name}_id, name, {attribute} from dwh.dim_{name} where is_current and not is_inferred order by 1"
        )
        assert current == self.operational.query(
            f"select id, nullif(btrim(name), ''), nullif(btrim({source_attribute}), '') from {table} order by 1"
        )
        assert (
            self.warehouse.query(
                f"select f.* from dwh.fact_sales f where not exists (select from dwh.dim_{name} d"
                f" where d.{name}_key = f.{name}_key and d.source = f.source and d.{name}_id = f.{name}_id"
                f" and f.batch_id >= d.batch_from and f.batch_id < d.batch_to)"
            )
            == []
        ), f"facts that do not refer to the version of the {name} that was current at their capture"

    def assert_aggregates_equal_facts(self) -> None:
        """Compare the aggregates with a fresh GROUP BY over the facts, and see that nothing is left in stg."""
        fresh_days = """
            select f.captured_on, coalesce(c.country, '(unknown)'), f.product_key, count(*), sum(f.qty)::bigint
            from dwh.fact_sales f join dwh.dim_customer c using (customer_key) group by 1, 2, 3"""
        fresh_groups = """
            select coalesce(p.product_group, '(unknown)'), f.captured_on, coalesce(c.country, '(unknown)'), count(*),
                   sum(f.qty)::bigint
            from dwh.fact_sales f
            join dwh.dim_customer c using (customer_key)
            join dwh.dim_product p using (product_key)
            group by 1, 2, 3"""
        fresh_products = "select product_key, count(*), sum(qty)::bigint from dwh.fact_sales group by 1"
        for aggregate, fresh in (
            ("select captured_on, country, product_key, lines, units from dwh.sales_by_day", fresh_days),
            ("select product_group, captured_on, country, lines, units from dwh.sales_by_group", fresh_groups),
            ("select product_key, lines, units from dwh.sales_by_product", fresh_products),
        ):
            assert self.warehouse.query(f"{aggregate} except all ({fresh})") == []
            assert self.warehouse.query(f"({fresh}) except all {aggregate}") == []
        for (mirror,) in self.warehouse.query("select mirror from etl.source_table"):
            left = self.warehouse.connection.execute(
                sql.SQL("select * from {}").format(sql.Identifier("stg", f"{mirror}_changes"))
            ).fetchall()
            assert left == []
        assert self.warehouse.query("select * from stg.sales_delta") == []
        assert self.warehouse.query("select * from stg.completed_member") == []


class BackgroundRun:
    """A statement, by and large a run, that works in a thread and a session of its own."""

    def __init__(self, connection: psycopg.Connection, statement: str) -> None:
        """Start it on a connection, which it closes at its end."""
        self.pid = connection.info.backend_pid
        self._connection = connection
        self._statement = statement
        self._error: psycopg.Error | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            with self._connection:
                self._connection.execute(self._statement)
        except psycopg.Error as error:
            self._error = error

    @property
    def is_working(self) -> bool:
        """Tell whether it still works."""
        return self._thread.is_alive()

    def finish(self) -> None:
        """Wait for its end, and raise the error that it ended with."""
        self._thread.join(20)
        assert not self.is_working, "the run did not end within 20 s"
        if self._error is not None:
            raise self._error


@contextmanager
def locked(database: Database, table: str, mode: str = "access exclusive") -> Iterator[None]:
    """Hold a lock on a table, from a session of its own."""
    with database.connect(autocommit=False) as holder:
        holder.execute(f"lock table {table} in {mode} mode")
        yield
        holder.rollback()


def waiting_for_lock(database: Database, table: str) -> int:
    """Wait until a session waits for a lock on a table, and return its process id."""
    pid: int = wait_until(
        lambda: [
            row[0]
            for row in database.query(
                "select pid from pg_catalog.pg_locks where relation = %s::text::regclass and not granted", [table]
            )
        ],
        what=f"a session that waits for {table}",
    )[0]
    return pid


def wait_until(condition: Callable[[], object], timeout: float = 20, what: str = "the condition") -> Any:
    """Poll until the condition returns something true, and return that."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    pytest.fail(f"waited {timeout:g} s in vain for {what}")


@contextmanager
def raises(sqlstate: str, *, message: str = "", hint: str | None = None) -> Iterator[None]:
    """Expect an SQL error with this SQLSTATE and, where given, words in its message or detail, and its hint."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    diagnostic = caught.value.diag
    assert diagnostic.sqlstate == sqlstate, f"{diagnostic.sqlstate}: {caught.value}"
    assert message in f"{diagnostic.message_primary} {diagnostic.message_detail}"
    if hint is not None:
        assert hint in (diagnostic.message_hint or ""), f"hint is {diagnostic.message_hint!r}"
