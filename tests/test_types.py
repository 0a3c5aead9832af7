"""All common types and odd names arrive as they are: compared by text form, with a key and without."""

from __future__ import annotations

import pytest
from psycopg import sql

from tests.support import Flow

TYPES = """
create type public.mood as enum ('sad', 'so "so"', 'весёлый');
create domain public.amount as numeric(12, 2) check (value >= 0);
create domain public.amounts as public.amount[];
create type public.pair as (a int, b text);
create type public."Odd Type" as (mood public.mood, parts public.pair[], price public.amount);
create type public.spread as range (subtype = float8);
"""

# Each type with values that are easy to lose: extremes, special values, forms that are equal but not the same.
VALUES: dict[str, list[str]] = {
    "smallint": ["-32768", "32767"],
    "int": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "numeric": ["NaN", "Infinity", "-Infinity", "1.0", "1.00", "-0.00000000000000000001", "1e300"],
    "numeric(10,3)": ["1234567.891", "NaN"],
    "real": ["NaN", "-Infinity", "0.1", "3.4028235e38", "-0"],
    "float8": ["NaN", "Infinity", "0.1", "1.7976931348623157e308", "5e-324", "-0"],
    "money": ["12.34"],
    "boolean": ["t", "f"],
    "text": ["", " ", "NULL", "a\\b", "it''s \"quoted\"", "line\nbreak\ttab", "Привет 🐘", "{}", "(,)"],
    "varchar(5)": ["", "áéíóú"],
    "char(5)": ["a", ""],
    '"char"': ["x"],
    "name": ["a name"],
    "bytea": ["", "\\x00ff5c27", "\\xdeadbeef"],
    "date": ["infinity", "-infinity", "0044-03-15 BC", "2024-02-29", "5874897-12-31"],
    "time": ["24:00:00", "00:00:00.000001"],
    "timetz": ["12:00:00+15:59", "00:00:00-12"],
    "timestamp": ["infinity", "-infinity", "0001-01-01 00:00:00 BC", "2024-06-30 23:59:59.999999"],
    "timestamptz": ["infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "2024-06-30 23:59:59.999999+05:30"],
    "timestamptz(0)": ["2024-06-30 23:59:59+00"],
    "interval": ["1 mon -1 day 00:00:00.000001", "-178000000 years", "P1Y2M3DT4H5M6.7S"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "json": ['{"b": 1,  "a": [1, null], "b": 2}', "null", '"text"'],
    "jsonb": ['{"b": 1, "a": [1.0, 1.00, null], "ü": "\\u00e9"}', "null", "[]"],
    "xml": ['<a b="c">d</a>', "text"],
    "inet": ["192.168.0.1/24", "::1"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "bit(3)": ["101"],
    "varbit": ["", "1010101"],
    "point": ["(1.5,-0)", "(NaN,Infinity)"],
    "box": ["((0,0),(1,1))"],
    "path": ["[(0,0),(1,1)]"],
    "polygon": ["((0,0),(1,1),(1,0))"],
    "circle": ["<(0,0),1>"],
    "tsvector": ["'a':1A 'b''c':2"],
    "tsquery": ["'a' & !'b'"],
    "pg_lsn": ["16/B374D848"],
    "int4range": ["empty", "[1,10)", "(,5)", "(,)"],
    "numrange": ["[1.0,1.00]", "[NaN,NaN]"],
    "tstzrange": ["[-infinity,infinity)", '["2024-01-01 00:00:00+00",)'],
    "int4multirange": ["{}", "{[1,3),[5,7)}"],
    "int[]": ["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={1,2}"],
    "text[]": ['{"",NULL,"NULL","a,b","\\"q\\"","{}"}'],
    "timestamptz[]": ['{infinity,"2024-01-01 00:00:00+00"}'],
    "jsonb[]": ['{"{\\"a\\": 1}"}'],
    "public.mood": ["sad", 'so "so"', "весёлый"],
    "public.mood[]": ['{sad,"so \\"so\\"",NULL}'],
    "public.amount": ["0.00", "1234567890.12"],
    "public.amounts": ["{1.00,2.50}", "{}"],
    "public.pair": ['(1,"a,b")', "(,)", '(,"")'],
    "public.pair[]": ['{"(1,x)","(,)"}'],
    'public."Odd Type"': ['("so ""so""","{""(1,x)""}",9.99)'],
    "public.spread": ["[0.1,0.2)", "(-Infinity,Infinity)"],
}


@pytest.fixture
def typed(source: Flow) -> Flow:
    """Return a source whose table has a column of every type, and a row for every value, and one of NULLs."""
    source.operational.execute(TYPES)
    columns = [sql.Identifier(f"{number:02} {name}"[:50]) for number, name in enumerate(VALUES)]
    source.operational.connection.execute(
        sql.SQL("create table public.typed (id int, {})").format(
            sql.SQL(", ").join(
                sql.SQL("{} {}").format(column, sql.SQL(name)) for column, name in zip(columns, VALUES, strict=True)
            )
        )
    )
    source.operational.execute("insert into public.typed (id) values (0), (0)")
    for row in range(max(map(len, VALUES.values()))):
        # Each value stands in its own row and in the rows of the longer lists.
        source.operational.connection.execute(
            sql.SQL("insert into public.typed values ({}, {})").format(
                sql.Literal(row + 1),
                sql.SQL(", ").join(
                    sql.SQL("{}::{}").format(sql.Literal(values[row % len(values)]), sql.SQL(name))
                    for name, values in VALUES.items()
                ),
            )
        )
    return source


@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without a key"])
def test_all_types(typed: Flow, keyed: bool) -> None:
    """First copy, a run that finds nothing, and changes of every column, in tables with a key and without."""
    if keyed:
        typed.operational.execute("delete from public.typed where id = 0; insert into public.typed (id) values (0)")
        typed.operational.execute("alter table public.typed add primary key (id)")
    typed.add_table("public.typed", "types")
    typed.run("types")
    typed.assert_mirror_equals_source("public.typed")
    typed.run("types")
    assert typed.warehouse.query("select sum(rows_inserted + rows_updated + rows_deleted) from etl.step_log") == [
        (typed.operational.value("select count(*) from public.typed"),)
    ]
    columns = [
        name for name, *_ in typed.operational.connection.execute("select * from public.typed").description or ()
    ]
    for column in columns[1:]:
        typed.operational.connection.execute(
            sql.SQL(
                "update public.typed as t set {0} = o.{0} from public.typed as o where t.id = 1 and o.id = 2"
            ).format(sql.Identifier(column))
        )
    typed.operational.execute("delete from public.typed where id in (0, 3)")
    typed.run("types")
    typed.assert_mirror_equals_source("public.typed")


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("numeric", "1.0", "1.00"),
        ("text", "", None),
        ("jsonb", '{"a": 1.0}', '{"a": 1.00}'),
        ("json", '{"a":1}', '{"a": 1}'),
        ("float8", "0", "-0"),
        ("interval", "1 day", "24:00:00"),
        ("char(3)", "a", None),
        ("xml", "<a/>", "<a></a>"),
        ("point", "(0,0)", "(0,1)"),
        ("public.pair", "(,)", '(,"")'),
        ("timetz", "12:00:00+00", "13:00:00+01"),
        ("numrange", "[1.0,2)", "[1.00,2)"),
        ("int[]", "{1}", "[0:0]={1}"),
    ],
)
@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without a key"])
def test_change_of_form_arrives(source: Flow, kind: str, before: str, after: str | None, keyed: bool) -> None:
    """Values that are equal, or have no equality, but another text form are changes."""
    source.operational.execute(TYPES)
    source.operational.execute(f"create table public.t (id int {'primary key' if keyed else ''}, v {kind})")
    source.operational.execute("insert into public.t values (1, %s), (2, %s)", [before, before])
    source.add_table("public.t", "types")
    source.run("types")
    source.operational.execute("update public.t set v = %s where id = 1", [after])
    source.run("types")
    source.assert_mirror_equals_source("public.t")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"]),
        ("text", ["", "Ä", "a b'c"]),
        ("timestamptz", ["infinity", "2024-01-01 00:00:00+00", "0001-01-01 00:00:00+00 BC"]),
        ("numeric", ["1.10", "NaN"]),
        ("date", ["2024-01-01", "-infinity"]),
        ("public.mood", ["sad", "весёлый"]),
        ("public.amount", ["1.00", "2.00"]),
        ("bytea", ["\\x00", "\\xff"]),
        ("int[]", ["{1}", "{1,2}"]),
    ],
)
def test_types_of_keys(source: Flow, kind: str, values: list[str]) -> None:
    """Rows are found by keys of any type, alone and beside another column."""
    source.operational.execute(TYPES)
    source.operational.execute(f"create table public.t (b int, k {kind}, v int, primary key (k, b))")
    for value in values:
        source.operational.execute("insert into public.t values (1, %s, 1), (2, %s, 1)", [value, value])
    source.add_table("public.t", "types")
    source.run("types")
    source.operational.execute("update public.t set v = 2 where b = 1; delete from public.t where b = 2")
    source.run("types")
    source.assert_mirror_equals_source("public.t")
    assert source.warehouse.value("select sum(rows_updated) from etl.step_log") == len(values)


def test_generated_and_identity_columns(source: Flow) -> None:
    """Columns that the source computes are mirrored as plain values."""
    source.operational.execute(
        """
        create table public.t (
            id bigint generated always as identity primary key, a int, twice int generated always as (a * 2) stored,
            n serial, d timestamptz default now() not null, gone text
        );
        alter table public.t drop column gone;
        insert into public.t (a) values (1), (2)
        """
    )
    source.add_table("public.t", "types")
    source.run("types")
    source.assert_mirror_equals_source("public.t")
    source.operational.execute("update public.t set a = 5 where id = 1; insert into public.t (a) values (9)")
    source.run("types")
    source.assert_mirror_equals_source("public.t")


NAMES = [
    "MixedCase",
    'with "quotes"',
    "with 'apostrophe'",
    "with space",
    " leading and trailing ",
    "Продажи",
    "売上",
    "select",
    "user",
    "order",
    "100%",
    "%I %s %1$s",
    "back\\slash",
    "semi;colon--",
    "dot.ted",
    "$1",
    "a" * 63,
    "я" * 31,
    "row",
    "source",
    "image",
    "copies",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names(source: Flow, name: str) -> None:
    """Tables, schemas and columns of any name are mirrored, with a key and without."""
    odd = sql.Identifier(name)
    schema = sql.Identifier(name[:20] + " S")
    operational = source.operational.connection
    operational.execute(sql.SQL("create schema {}; grant usage on schema {} to headrace_source").format(schema, schema))
    operational.execute(
        sql.SQL(
            "create table public.{odd} ({odd} int, other text, primary key ({odd}));"
            " create table {schema}.{odd} ({odd} int, other text);"
            " insert into public.{odd} values (1, 'a'), (2, 'b'), (3, null);"
            " insert into {schema}.{odd} values (1, 'a'), (1, 'a'), (null, null);"
            " grant select on {schema}.{odd} to headrace_source"
        ).format(odd=odd, schema=schema)
    )
    tables = [sql.SQL("{}.{}").format(s, odd).as_string() for s in (sql.Identifier("public"), schema)]
    for table in tables:
        source.add_table(table, "odd")
    source.run("odd")
    for table in tables:
        source.assert_mirror_equals_source(table)
    operational.execute(
        sql.SQL(
            "update public.{odd} set other = 'c' where {odd} = 1; delete from public.{odd} where {odd} = 2;"
            " update {schema}.{odd} set other = 'z' where ctid = (select min(ctid) from {schema}.{odd})"
        ).format(odd=odd, schema=schema)
    )
    source.run("odd")
    for table in tables:
        source.assert_mirror_equals_source(table)
    assert len(source.warehouse.query("select distinct mirror from etl.source_table")) == 2


@pytest.mark.parametrize("prefix", ["m", "c", "s", "t", "d", "ctid_", "p_batch"])
def test_columns_named_like_ours(source: Flow, prefix: str) -> None:
    """Columns with the names of aliases and variables in generated SQL do not get mixed up."""
    source.operational.execute(
        f"create table public.t ({prefix} int primary key, r int, k text, hash text, n bigint, batch int, op text);"
        f" create table public.u ({prefix} int, r int, image text, copies int, number int, e text, g text);"
        " insert into public.t values (1, 1, 'a', 'b', 1, 1, 'I'), (2, 2, null, null, null, null, null);"
        " insert into public.u select x, x, 'a', x, x, 'e', 'g' from unnest('{1,1,2}'::int[]) x"
    )
    for table in ("public.t", "public.u"):
        source.add_table(table, "odd")
    source.run("odd")
    source.operational.execute(
        "update public.t set k = 'z'; delete from public.u where r = 2;"
        " delete from public.u where ctid = (select min(ctid) from public.u); insert into public.u values (5)"
    )
    source.run("odd")
    source.assert_mirror_equals_source("public.t")
    source.assert_mirror_equals_source("public.u")
