"""Sources over other foreign data wrappers: files, MariaDB, and what can be told of SQL Server without one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import SOURCE_ROLE
from tests.mariadb import ACCOUNT, PASSWORD, MariaDB, mariadb, missing, quote
from tests.support import BackgroundRun, Database, Flow, locked, raises, waiting_for_lock

PIPELINE = "others"


def has_extension(warehouse: Database, name: str) -> bool:
    """Tell whether the warehouse's server has an extension."""
    return bool(warehouse.query("select from pg_catalog.pg_available_extensions where name = %s", [name]))


def wire(warehouse: Database, fdw: str) -> None:
    """Do what the superuser of a warehouse does once for a wrapper."""
    if not has_extension(warehouse, fdw):
        pytest.skip(f"the package with {fdw} is not installed")
    warehouse.execute(f"create extension {fdw}; grant usage on foreign data wrapper {fdw} to headrace_owner")
    if fdw == "file_fdw":
        warehouse.execute("grant pg_read_server_files to headrace_owner")


# ----------------------------------------------------------------------------------------------------------------------
# Files
# ----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a directory that the server can read; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="headrace-files-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def files(warehouse: Database) -> Database:
    """Return a warehouse with the source ``files``."""
    wire(warehouse, "file_fdw")
    warehouse.execute("call etl.add_source('files', fdw => 'file_fdw')")
    return warehouse


def write(file: Path, *lines: str) -> Path:
    """Write a file of lines."""
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    file.chmod(0o644)
    return file


def add_file(warehouse: Database, file: Path, table: str = "public.targets", **arguments: object) -> None:
    """Register a file, in the pipeline of these tests."""
    given = {"pipeline": PIPELINE, **arguments}
    given["options"] = json.dumps({"filename": str(file), **json.loads(str(given.get("options", "{}")))})
    warehouse.call("etl.add_table", source="files", source_table=table, **given)


def run(warehouse: Database, pipeline: str = PIPELINE) -> None:
    """Run a pipeline."""
    warehouse.call("etl.run", pipeline=pipeline)


def test_a_file_is_mirrored(files: Database, folder: Path) -> None:
    """Columns come from the header, types from the caller, and what changes in the file arrives."""
    file = write(folder / "targets.csv", 'id,"goal, of the year",note', '1,10.50,"a ""b"", c"', "2,20,", "3,,x")
    add_file(files, file, key="{id}", columns='{"id": "integer", "goal, of the year": "numeric(10,2)"}')
    run(files)
    goals = 'select id, "goal, of the year"::text, note from mrr.targets order by id'
    assert files.query(goals) == [(1, "10.50", 'a "b", c'), (2, "20.00", None), (3, None, "x")]
    write(file, 'id,"goal, of the year",note', '1,10.50,"a ""b"", c"', "2,21,", "4,1,new")
    run(files)
    assert files.query(goals) == [(1, "10.50", 'a "b", c'), (2, "21.00", None), (4, "1.00", "new")]
    assert files.query(
        "select rows_inserted, rows_updated, rows_deleted from etl.batch_table order by batch_id desc limit 1"
    ) == [(1, 1, 1)]
    run(files)
    assert files.value("select count(*) from etl.batch_table") == 2


def test_a_file_without_a_key_or_header(files: Database, folder: Path) -> None:
    """Equal rows are counted, and columns can be told instead of read."""
    file = write(folder / "raw.tsv", "1\ta", "1\ta", "2\tb")
    add_file(
        files, file, "public.raw", options='{"format": "text", "header": "false"}', columns='{"n": "int", "t": "text"}'
    )
    run(files)
    write(file, "1\ta", "2\tb", "2\tb", "2\tb")
    run(files)
    assert files.query("select n, t, count(*) from mrr.raw group by 1, 2 order by 1") == [(1, "a", 1), (2, "b", 3)]


def test_masks_of_a_file(files: Database, folder: Path) -> None:
    """Unmasked values are stored nowhere, not even in the log of a line that is broken."""
    lines = ("id,name,email,phone,born", "1,Ada,ada@example.com,555-1,1985-12-10")
    file = write(folder / "people.csv", *lines)
    masks = {"drop_columns": "{phone}", "hash_columns": "{email}", "truncate_columns": '{"born": 4}'}
    add_file(files, file, "public.people", key="{id}", columns='{"id": "int"}', **masks)
    run(files)
    assert files.query("select id, name, born, email = etl.mask_hash('ada@example.com') from mrr.people") == [
        (1, "Ada", "1985", True)
    ]
    write(file, *lines, "2,Bo,bo@example.com,555-2,1990-01-01,extra")
    with raises("22P04"):
        run(files)
    said = files.value("select string_agg(e::text, '') from etl.procedure_errors e")
    assert "line 3" in said
    assert "555-2" not in said and "bo@example.com" not in said
    for role in ("headrace_reader", "headrace_runner", "headrace_monitor"):
        with files.connect(role) as session, raises("42501"):
            session.execute("select * from files.people")


def test_a_changed_header_stops_and_is_taken_over(files: Database, folder: Path) -> None:
    """A column that came, went or moved is not misread; one call takes it over."""
    file = write(folder / "targets.csv", "id,goal", "1,10")
    add_file(files, file, key="{id}", columns='{"id": "int", "goal": "int"}')
    run(files)
    write(file, "id,region,goal", "1,North,11")
    with raises(
        "22P04", message="public.targets of source files", hint="etl.accept_columns('files', 'public.targets')"
    ):
        run(files)
    files.execute("call etl.accept_columns('files', 'public.targets')")
    run(files)
    assert files.query("select id, goal, region from mrr.targets") == [(1, 11, "North")]
    write(file, "region,id", "South,1")
    files.execute("call etl.accept_columns('files', 'public.targets')")
    run(files)
    assert files.query("select to_jsonb(t) - '_hr_batch' from mrr.targets t") == [({"id": 1, "region": "South"},)]


@pytest.mark.parametrize(
    ("lines", "sqlstate", "message"),
    [
        (("id,goal", "1,10", "1,11"), "23505", "(id) is no key of public.targets of source files: 2 rows have (1)"),
        (("id,goal", "1,10", ",11"), "23502", "(id) is no key of public.targets of source files: it is empty in a row"),
        (("id,goal", "1,ten"), "22P02", 'invalid input syntax for type integer: "ten"'),
    ],
)
def test_bad_rows_are_refused(
    files: Database, folder: Path, lines: tuple[str, ...], sqlstate: str, message: str
) -> None:
    """Nothing is captured of a file whose key is none or whose values do not fit, at first and later."""
    file = write(folder / "targets.csv", *lines)
    add_file(files, file, key="{id}", columns='{"id": "int", "goal": "int"}')
    with raises(sqlstate, message=message):
        run(files)
    write(file, "id,goal", "1,10")
    run(files)
    write(file, *lines)
    with raises(sqlstate, message=message):
        run(files)
    assert files.query("select id, goal from mrr.targets") == [(1, 10)]


def test_a_watermark_on_a_file(files: Database, folder: Path) -> None:
    """Only rows from the mark on are compared; an overlap has to be named."""
    file = write(folder / "events.csv", "id,at", "1,10", "2,20")
    arguments = {"key": "{id}", "columns": '{"id": "int", "at": "int"}', "capture": "watermark", "watermark": "at"}
    with raises("22023", message="needs an overlap", hint="'0' where rows are only ever appended in order"):
        add_file(files, file, "public.events", **arguments)
    add_file(files, file, "public.events", overlap="5", **arguments)
    run(files)
    write(file, "id,at", "2,20", "3,16", "4,30")
    run(files)
    assert files.query("select id, at from mrr.events order by 1") == [(1, 10), (2, 20), (3, 16), (4, 30)]
    assert (
        files.value("select rows_read from etl.step_log where step = 'events' order by step_log_id desc limit 1") == 3
    )


def test_what_is_refused(files: Database, folder: Path) -> None:
    file = write(folder / "targets.csv", "id,goal", "1,10")
    with raises("0A000", message="only PostgreSQL has a log", hint="capture => 'full'"):
        add_file(files, file, capture="log")
    with raises("42703", message="has no columns: gaol", hint="as they are written at the source"):
        add_file(files, file, columns='{"gaol": "int"}')
    with raises("42704", message='type "nonsense" does not exist'):
        add_file(files, file, columns='{"goal": "nonsense"}')
    with raises("42601"):
        add_file(files, file, columns='{"goal": "int, evil int"}')
    with raises("42703", message="key columns that public.targets does not have"):
        add_file(files, file, key="{nix}")
    with raises("42703", message="It has: id, goal."):
        add_file(files, file, key="{nix}")
    with raises("58P01", message="No such file", hint="The warehouse's server reads the file"):
        add_file(files, folder / "absent.csv")
    write(file, "\ufeffid,goal", "1,10")
    with raises("22P04", message="byte order mark"):
        add_file(files, file)
    assert files.query("select * from etl.source_table") == []
    assert files.query("select relname from pg_catalog.pg_class where relnamespace = 'files'::regnamespace") == []
    with raises("22023", message="another foreign data wrapper than postgres_fdw", hint="etl.remove_source('files')"):
        files.execute("""call etl.add_source('files', '{"host": "h", "dbname": "d"}', 'u', 'p')""")
    with raises("42704", message="no foreign data wrapper nix_fdw", hint="create extension nix_fdw;"):
        files.execute("call etl.add_source('nix', fdw => 'nix_fdw')")


def test_a_postgres_source_takes_no_columns(source: Flow) -> None:
    source.operational.execute("create table public.t (a int)")
    with raises("22023", message="tells the columns of public.t itself"):
        source.add_table("public.t", columns='{"a": "text"}')


def test_rights_of_the_wrapper_are_asked_for(warehouse: Database) -> None:
    """What a superuser has to run is said, first for the wrapper and then for files."""
    warehouse.execute("create extension file_fdw")
    add = "call etl.add_source('files', fdw => 'file_fdw')"
    with raises("42501", hint="grant usage on foreign data wrapper file_fdw to headrace_owner;"):
        warehouse.execute(add)
    warehouse.execute("grant usage on foreign data wrapper file_fdw to headrace_owner")
    with warehouse.connect(autocommit=False) as session:  # the membership is the cluster's, so nobody else sees it gone
        session.execute("revoke pg_read_server_files from headrace_owner")
        with raises("42501", hint="grant pg_read_server_files to headrace_owner;"):
            session.execute(add)


def test_remove_leaves_nothing(files: Database, folder: Path) -> None:
    before = files.query("select oid::regclass::text from pg_catalog.pg_class order by 1")
    add_file(files, write(folder / "targets.csv", "id,goal", "1,10"), key="{id}")
    run(files)
    with raises("2BP01"):
        files.execute("call etl.remove_source('files')")
    files.execute("call etl.remove_table('files', 'public.targets')")
    assert files.query("select oid::regclass::text from pg_catalog.pg_class order by 1") == before
    files.execute("call etl.remove_source('files')")
    assert files.query("select * from etl.source") == []
    assert files.query("select * from pg_catalog.pg_foreign_server") == []


def test_check_source_says_what_files_cannot_promise(files: Database, folder: Path) -> None:
    file = write(folder / "targets.csv", "id,goal", "1,10")
    add_file(files, file)
    check = "select severity, subject, finding from etl.check_source('files')"
    promise = (
        "warning",
        "source files",
        "file_fdw gives no snapshot: its tables are read one after the other, each as it is then",
    )
    assert files.query(check) == [promise]
    file.unlink()
    (error, *rest) = files.query(check)
    assert rest == [promise]
    assert error[:2] == ("error", "public.targets") and "No such file" in error[2]


def test_reconcile_a_file(files: Database, folder: Path) -> None:
    """A mirror that was changed by hand is noticed and mended, truncated columns included."""
    file = write(folder / "targets.csv", "id,goal,born", "1,10,1985-01-01", "2,20,1990-01-01")
    add_file(files, file, key="{id}", columns='{"id": "int"}', truncate_columns='{"born": 4}')
    run(files)
    files.execute("call etl.reconcile('files', 'public.targets')")
    files.execute("update mrr.targets set goal = '11' where id = 1")
    files.execute("call etl.reconcile('files', 'public.targets', repair => true)")
    files.execute("call etl.reconcile('files', 'public.targets')")
    assert files.query("select rows_source, rows_different from etl.reconciliation order by 1, reconciliation_id") == [
        (2, 0),
        (2, 2),
        (2, 0),
    ]
    assert files.query("select goal from mrr.targets order by id") == [("10",), ("20",)]


# ----------------------------------------------------------------------------------------------------------------------
# MariaDB
# ----------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    """Start a MariaDB for the tests of this file."""
    if lacking := missing():
        pytest.skip(f"not installed: {lacking}")
    with mariadb() as running:
        yield running


@pytest.fixture
def maria(server: MariaDB) -> Iterator[MariaDB]:
    """Yield the server, whose database is emptied afterwards."""
    yield server
    server.execute("drop database shop; create database shop")


@pytest.fixture
def crm(warehouse: Database, maria: MariaDB) -> Database:
    """Return a warehouse with the MariaDB as source ``crm``."""
    wire(warehouse, "mysql_fdw")
    add_source(warehouse, maria)
    return warehouse


def add_source(warehouse: Database, maria: MariaDB, password: str = PASSWORD, port: int | None = None) -> None:
    """Register the MariaDB, or change how it is reached."""
    options = json.dumps({"host": "127.0.0.1", "port": str(port or maria.port)})
    warehouse.execute(
        "call etl.add_source('crm', fdw => 'mysql_fdw', options => %s, username => %s, password => %s)",
        [options, ACCOUNT, password],
    )


def add(warehouse: Database, table: str, **arguments: object) -> None:
    """Register a table of the MariaDB."""
    warehouse.call("etl.add_table", source="crm", source_table=table, **{"pipeline": PIPELINE, **arguments})


def test_a_table_is_mirrored(crm: Database, maria: MariaDB) -> None:
    """With its primary key, which nobody has to name; inserts, updates and deletes arrive."""
    maria.execute(
        "create table people (a int, b varchar(5), name varchar(50), primary key (a, b)); insert into people values"
        " (1, 'x', 'Ada'), (1, 'y', 'Bö'), (2, 'x', null)"
    )
    add(crm, "shop.people")
    assert crm.value("select key_columns from etl.source_table") == ["a", "b"]
    run(crm)
    people = "select a, b, name from mrr.people order by 1, 2"
    assert crm.query(people) == [(1, "x", "Ada"), (1, "y", "Bö"), (2, "x", None)]
    maria.execute(
        "update people set name = '' where a = 2; delete from people where b = 'y'; insert into people values (3,"
        " 'z', 'Цой')"
    )
    run(crm)
    assert crm.query(people) == [(1, "x", "Ada"), (2, "x", ""), (3, "z", "Цой")]
    assert crm.query(
        "select rows_inserted, rows_updated, rows_deleted from etl.batch_table order by batch_id desc limit 1"
    ) == [(1, 1, 1)]
    assert crm.query("select source, snapshot, lsn from etl.batch_source limit 1") == [("crm", None, None)]


TYPES = {  # type there: type here, and values as SQL there and as text here
    "tinyint(1)": ("smallint", {"1": "1", "-128": "-128"}),
    "tinyint unsigned": ("smallint", {"255": "255"}),
    "smallint unsigned": ("integer", {"65535": "65535"}),
    "mediumint unsigned zerofill": ("integer", {"16777215": "16777215"}),
    "int unsigned": ("bigint", {"4294967295": "4294967295"}),
    "bigint": ("bigint", {"-9223372036854775808": "-9223372036854775808"}),
    "bigint unsigned": ("numeric(20,0)", {"18446744073709551615": "18446744073709551615"}),
    "decimal(30,10)": ("numeric(30,10)", {"12345678901234567890.01": "12345678901234567890.0100000000"}),
    "double": ("double precision", {"0.1": "0.1", "1e300": "1e+300"}),
    "float": ("real", {"1.5": "1.5"}),
    "bit(1)": ("bit(1)", {"b'1'": "1", "b'0'": "0"}),
    "char(5)": ("character varying(5)", {"'ab'": "ab", "''": ""}),
    "varchar(20) character set latin1": ("character varying(20)", {"'Größe'": "Größe"}),
    "text": ("character varying", {"'€ 😀'": "€ 😀", "repeat('x', 65000)": "x" * 65000}),
    "longtext": ("text", {"repeat('y', 200000)": "y" * 200000}),
    "json": ("text", {"'{\"a\": [1]}'": '{"a": [1]}'}),
    "varbinary(10)": ("bytea", {"x'00ff'": "\\x00ff"}),
    "blob": ("bytea", {"repeat('z', 8000)": "\\x" + "7a" * 8000}),
    "enum('a','it''s')": ("character varying", {"'it''s'": "it's"}),
    "set('x','y')": ("character varying", {"'x,y'": "x,y", "''": ""}),
    "date": ("date", {"'2024-02-29'": "2024-02-29", "'9999-12-31'": "9999-12-31"}),
    "datetime(6)": ("timestamp(6) without time zone", {"'2024-01-01 01:02:03.123456'": "2024-01-01 01:02:03.123456"}),
    "timestamp": ("timestamp(0) without time zone", {"from_unixtime(1700000000)": "2023-11-14 22:13:20"}),
    "time(3)": ("interval", {"'-100:00:01.5'": "-100:00:01.5", "'23:59:59'": "23:59:59"}),
    "year": ("smallint", {"2024": "2024"}),
    "uuid": ("uuid", {"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}),
    "inet6": ("inet", {"'2001:db8::1'": "2001:db8::1/128"}),
}  # fmt: skip


def test_types(crm: Database, maria: MariaDB) -> None:
    """Every type arrives in one that holds it, null too, and unchanged values are no change."""
    columns = ", ".join(f"c{number} {kind} null" for number, kind in enumerate(TYPES))
    values = [(number, there) for number, (_, pairs) in enumerate(TYPES.values()) for there in pairs]
    maria.execute(
        f"set time_zone = '+05:00'; create table types (id int primary key auto_increment, {columns});"
        " insert into types (id) values (null);"
        + "".join(f"insert into types (c{number}) values ({there});" for number, there in values)
    )
    add(crm, "shop.types")
    run(crm)
    assert crm.query(
        "select source_type, mirror_type from etl.source_column where column_name <> 'id' order by position"
    ) == [(maria_type, here) for (_, maria_type), (here, _) in zip(column_types(maria), TYPES.values(), strict=True)]
    for number, (_, pairs) in enumerate(TYPES.values()):
        arrived = crm.query(f"select c{number}::text from mrr.types where c{number} is not null order by id")
        assert [value for (value,) in arrived] == list(pairs.values())
    assert crm.value("select count(*) from mrr.types") == len(values) + 1
    run(crm)
    assert crm.value("select count(*) from etl.batch_table") == 1


def column_types(maria: MariaDB) -> list[list[str]]:
    """Return name and type of the columns of ``types`` as MariaDB writes them, without its key."""
    return maria.execute(
        "select column_name, column_type from information_schema.columns"
        " where table_schema = 'shop' and table_name = 'types' and column_name <> 'id' order by ordinal_position"
    )


def test_types_that_cannot_be_held(crm: Database, maria: MariaDB) -> None:
    """Such a column is refused by name; it can be left out or read as another type, and so can a date that is none."""
    maria.execute(
        "create table places (id int primary key, spot point, flags bit(8), opened date, note mediumblob);"
        " insert into places values (1, point(1, 2), b'101', '0000-00-00', x'41')"
    )
    with raises(
        "0A000", message="column spot of shop.places of source crm has type point", hint="drop_columns => '{spot}'"
    ):
        add(crm, "shop.places")
    with raises("0A000", message="column flags", hint="""columns => '{"flags": "bytea"}'"""):
        add(crm, "shop.places", drop_columns="{spot}")
    assert crm.query("select subject, finding from etl.check_source('crm', 'shop.places') order by 2") == [
        ("shop.places", "column flags has type bit(8), which cannot be held here"),
        ("shop.places", "column spot has type point, which cannot be held here"),
    ]
    others = {"drop_columns": "{spot}", "columns": '{"flags": "bytea"}'}
    add(crm, "shop.places", **others)
    with raises(
        "22008",
        message='shop.places of source crm: date/time field value out of range: "0000-00-00"',
        hint='columns => \'{"…": "text"}\'',
    ):
        run(crm)
    crm.execute("call etl.remove_table('crm', 'shop.places')")
    add(crm, "shop.places", drop_columns="{spot}", columns='{"flags": "bytea", "opened": "text"}')
    run(crm)
    assert crm.query("select id, flags::text, opened, note::text from mrr.places") == [
        (1, "\\x05", "0000-00-00", "\\x41")
    ]


def test_a_scan_that_ends_early_is_no_deletion(crm: Database, maria: MariaDB) -> None:
    """The wrapper stops without an error at a value that is too long; nothing is taken for deleted, nor for equal."""
    maria.execute(
        "create table files (id int primary key, body blob); insert into files values (1, 'a'), (2, 'b'), (3, 'c')"
    )
    add(crm, "shop.files")
    run(crm)
    maria.execute("update files set body = repeat('x', 9000) where id = 2")
    with raises("08006", message="shop.files of source crm gave 1 of its 3 rows", hint="of a blob 8 kB"):
        run(crm)
    with raises("08006"):
        crm.execute("call etl.reconcile('crm', 'shop.files')")
    assert crm.query("select id, body::text from mrr.files order by 1") == [(1, "\\x61"), (2, "\\x62"), (3, "\\x63")]


def test_two_sources_in_one_pipeline(source: Flow, maria: MariaDB) -> None:
    """Tables of one name in two sources are told apart, and all tables of the MariaDB come from one snapshot."""
    crm, operational = source.warehouse, source.operational
    wire(crm, "mysql_fdw")
    add_source(crm, maria)
    operational.execute(
        "create table public.people (id int primary key, name text); insert into public.people values (1, 'Ada')"
    )
    rows = "(1, 'Eve'), (2, 'Bo')"
    for table in ("people", "visits"):
        maria.execute(f"create table {table} (id int primary key, name varchar(9)); insert into {table} values {rows}")
    add(crm, "shop.people")
    source.add_table("public.people", PIPELINE)
    add(crm, "shop.visits")
    assert crm.query("select source, mirror from etl.source_table order by source_table_id") == [
        ("crm", "people"),
        ("op", "public_people"),
        ("crm", "visits"),
    ]
    with locked(operational, "public.people"):
        working = source.start(PIPELINE)
        waiting_for_lock(operational, "public.people")
        maria.execute(
            "insert into people values (3, 'Cy'); insert into visits values (3, 'Cy'); delete from visits where id = 1"
        )
    working.finish()
    assert (
        crm.query("select id, name from mrr.people order by 1")
        == crm.query("select id, name from mrr.visits order by 1")
        == [(1, "Eve"), (2, "Bo")]
    )
    assert crm.query("select id, name from mrr.public_people") == [(1, "Ada")]
    assert crm.query("select source from etl.batch_source order by 1") == [("crm",), ("op",)]
    run(crm)
    assert crm.query("select id from mrr.visits order by 1") == [(2,), (3,)]
    assert crm.query("select last_status, pending_changes from etl.status where pipeline = %s", [PIPELINE]) == [
        ("succeeded", 0)
    ]


def test_a_connection_that_breaks_between_two_tables(source: Flow, maria: MariaDB) -> None:
    """The batch fails as a whole, so that its tables do not come from two snapshots; the next one is whole again."""
    crm, operational = source.warehouse, source.operational
    wire(crm, "mysql_fdw")
    add_source(crm, maria)
    operational.execute("create table public.between (id int primary key)")
    for table in ("first", "last"):
        maria.execute(f"create table {table} (id int primary key); insert into {table} values (1)")
    add(crm, "shop.first")
    source.add_table("public.between", PIPELINE)
    add(crm, "shop.last")
    with locked(operational, "public.between"):
        working = source.start(PIPELINE)
        waiting_for_lock(operational, "public.between")
        for (number,) in maria.execute("select id from information_schema.processlist where user = 'headrace_source'"):
            maria.execute(f"kill {number}")
        maria.execute("insert into last values (2); insert into first values (2)")
    with raises("08006", message="failed in step last"):
        working.finish()
    assert crm.query("select * from mrr.first") == crm.query("select * from mrr.last") == []
    assert crm.value("select failures from etl.pipeline where pipeline = %s", [PIPELINE]) == 1
    run(crm)
    assert (
        crm.query("select id from mrr.first order by 1")
        == crm.query("select id from mrr.last order by 1")
        == [(1,), (2,)]
    )


def test_two_pipelines_read_one_source_at_once(crm: Database, maria: MariaDB) -> None:
    """Each has its own snapshot, and neither hinders the other from taking it."""
    for table in ("a", "b"):
        maria.execute(f"create table {table} (id int primary key)")
        add(crm, f"shop.{table}", pipeline=table)
    for number in range(8):
        maria.execute(f"insert into a values ({number}); insert into b values ({number})")
        for working in [BackgroundRun(crm.connect(), f"call etl.run('{table}')") for table in ("a", "b")]:
            working.finish()
    assert crm.query("select status, count(*) from etl.run_log group by 1") == [("succeeded", 16)]
    assert crm.value("select count(*) from mrr.a") == crm.value("select count(*) from mrr.b") == 8


def test_nothing_stays_open_at_the_source(crm: Database, maria: MariaDB) -> None:
    """After a run, good or bad, a comparison and a check, no lock of the session keeps the owner waiting."""
    maria.execute("create table t (id int primary key, at int); insert into t values (1, 1)")
    add(crm, "shop.t", columns='{"at": "bit(1)"}')
    with raises("22026"):
        run(crm)
    maria.execute("set lock_wait_timeout = 1; alter table t add column a int")
    crm.execute("call etl.remove_table('crm', 'shop.t')")
    add(crm, "shop.t")
    maria.execute("set lock_wait_timeout = 1; alter table t add column b int")
    for statement in (
        "call etl.run('others')",
        "call etl.reconcile('crm', 'shop.t')",
        "select * from etl.check_source('crm')",
    ):
        crm.execute(statement)
        maria.execute(
            "set lock_wait_timeout = 1; alter table t drop column if exists b; alter table t add column b int"
        )
    assert maria.execute("select count(*) > 0 from information_schema.processlist where user = 'headrace_source'") == [
        ["1"]
    ]


def test_a_server_that_is_away(crm: Database, maria: MariaDB) -> None:
    """It is class 08, so the pipeline backs off; and the mirror stays until it is back."""
    maria.execute("create table t (id int primary key); insert into t values (1)")
    add(crm, "shop.t")
    run(crm)
    maria.stop()
    for _ in range(2):
        with raises("08001", hint="etl.procedure_errors"):
            run(crm)
    assert crm.query("select failures, next_attempt_at > now(), last_error ~ 'connect' from etl.status") == [
        (0, None, None),
        (2, True, True),
    ]
    assert crm.query("select severity, subject, finding ~ 'connect' from etl.check_source('crm')") == [
        ("error", "source crm", True)
    ]
    assert crm.query("select id from mrr.t") == [(1,)]
    maria.start()
    maria.execute("insert into t values (2)")
    crm.call("etl.run", pipeline=PIPELINE, force=True)
    assert crm.query("select id from mrr.t order by 1") == [(1,), (2,)]


def test_the_password_is_never_shown(crm: Database, maria: MariaDB) -> None:
    maria.execute("create table t (id int primary key)")
    add(crm, "shop.t")
    wrong = "another secret of theirs"
    with pytest.raises(psycopg.Error) as refused:
        add_source(crm, maria, wrong)
    assert refused.value.sqlstate == "28000"
    assert "Access denied" in str(refused.value) and wrong not in str(refused.value)
    maria.execute(f"alter user {ACCOUNT}@'127.0.0.1' identified by 'changed'")
    try:
        with raises("28000", message="Access denied"):
            run(crm)
        assert crm.query("select failures from etl.pipeline where pipeline = %s", [PIPELINE]) == [(0,)]
    finally:
        maria.execute(f"alter user {ACCOUNT}@'127.0.0.1' identified by {quote(PASSWORD)}")
    run(crm)
    with pytest.raises(psycopg.Error) as refused:
        add_source(crm, maria, port=1)
    assert refused.value.sqlstate == "08001"
    assert PASSWORD not in crm.value("select string_agg(e::text, '') from etl.procedure_errors e")
    for role in ("headrace_reader", "headrace_runner", "headrace_monitor"):
        with crm.connect(role) as session:
            assert session.execute("select umoptions from pg_user_mappings where srvname = 'crm'").fetchall() == [
                (None,)
            ]
    run(crm)


def test_masks(crm: Database, maria: MariaDB) -> None:
    """Dropped columns are not read, and the others are masked on arrival, whatever their type."""
    maria.execute(
        "create table people (id int primary key, email varchar(50), phone varchar(50), born datetime, photo blob,"
        " flags bit(8)); insert into people values (1, 'ada@example.com', '555', '1985-12-10 01:02:03', x'ff', b'1'),"
        " (2, null, null, null, null, null)"
    )
    maria.execute("set global log_output = 'TABLE', general_log = on; truncate mysql.general_log")
    masks = {"drop_columns": "{phone}", "hash_columns": "{email,photo,flags}", "truncate_columns": '{"born": 4}'}
    add(crm, "shop.people", columns='{"flags": "bytea"}', **masks)
    run(crm)
    maria.execute("set global general_log = off")
    read = [
        text for (text,) in maria.execute("select argument from mysql.general_log where argument like 'SELECT%people%'")
    ]
    assert any("`email`" in text for text in read)
    assert not any("phone" in text for text in read)
    assert crm.query(
        r"select id, email = etl.mask_hash('ada@example.com'), photo = etl.mask_hash('\xff'), born,"
        r" flags = etl.mask_hash('\x01') from mrr.people order by 1"
    ) == [(1, True, True, "1985", True), (2, None, None, None, None)]
    run(crm)
    assert crm.value("select count(*) from etl.batch_table") == 1


def test_columns_that_change(crm: Database, maria: MariaDB) -> None:
    """Changed columns are followed, and masks stay with names; a new one that cannot be held is left out."""
    maria.execute(
        "create table t (id int primary key, a varchar(9), secret varchar(9), b int); insert into t values (1, 'x',"
        " 'ssh', 7)"
    )
    add(crm, "shop.t", hash_columns="{secret}", on_schema_change="evolve")
    run(crm)
    maria.execute(
        "alter table t drop column a, add column c datetime default '2024-01-01', modify b varchar(9), add column p"
        " point first"
    )
    run(crm)
    assert crm.query("select to_jsonb(t) - array['_hr_batch', 'secret'] from mrr.t") == [
        ({"id": 1, "b": "7", "c": "2024-01-01T00:00:00"},)
    ]
    maria.execute("alter table t rename column b to bee, rename column secret to other")
    run(crm)
    assert crm.query("select to_jsonb(t) - '_hr_batch' from mrr.t") == [
        ({"id": 1, "bee": "7", "c": "2024-01-01T00:00:00", "other": "ssh"},)
    ]
    assert crm.query("select column_name, mask from etl.source_column order by 1") == [
        ("bee", None),
        ("c", None),
        ("id", None),
        ("other", None),
        ("p", "drop"),
    ]
    maria.execute("drop table t")
    with raises("42P01", message="source crm has no table shop.t any more"):
        run(crm)


def test_a_changed_column_stops_where_columns_are_masked(crm: Database, maria: MariaDB) -> None:
    maria.execute("create table t (id int primary key, secret varchar(9)); insert into t values (1, 'ssh')")
    add(crm, "shop.t", drop_columns="{secret}")
    run(crm)
    maria.execute("alter table t add column more varchar(9) default 'm'")
    assert crm.query("select severity, finding, remedy from etl.check_source('crm')") == [
        ("warning", "column more (varchar(9)) is new", "call etl.accept_columns('crm', 'shop.t');")
    ]
    with raises("55000", message="column more (varchar(9)) is new", hint="etl.accept_columns('crm', 'shop.t')"):
        run(crm)
    crm.execute("call etl.accept_columns('crm', 'shop.t')")
    run(crm)
    assert crm.query("select to_jsonb(t) - '_hr_batch' from mrr.t") == [({"id": 1, "more": "m"},)]


@pytest.mark.parametrize(
    ("kind", "value", "overlap"),
    [
        ("int", "{0}", "2"),
        ("timestamp", "from_unixtime(1700000000 + 60 * {0})", "2 minutes"),
        ("datetime(6)", "'2024-01-01' + interval {0} minute", "2 minutes"),
    ],
)
def test_a_watermark(crm: Database, maria: MariaDB, kind: str, value: str, overlap: str) -> None:
    """MariaDB is asked for the rows from the mark less the overlap on, so late ones within it are found."""
    rows = f"insert into t values ({{0}}, {value});"
    maria.execute(
        f"create table t (id int primary key, at {kind} null);" + "".join(rows.format(n) for n in range(1, 101))
    )
    with raises("22023", message="needs an overlap", hint="longer than the longest transaction"):
        add(crm, "shop.t", capture="watermark", watermark="at")
    add(crm, "shop.t", capture="watermark", watermark="at", overlap=overlap, full_every="1 day")
    run(crm)
    maria.execute(rows.format(101) + f"update t set at = {value.format(102)} where id = 5; delete from t where id = 1")
    run(crm)
    run(crm)
    reads = crm.query(
        "select rows_read, rows_inserted, rows_updated from etl.step_log where step = 't' order by step_log_id"
    )
    assert reads == [(100, 100, 0), (5, 1, 1), (3, 0, 0)]
    with raises("0A000", message="only PostgreSQL has a log"):
        crm.execute("call etl.set_capture('crm', 'shop.t', 'log')")
    crm.execute("call etl.set_capture('crm', 'shop.t', 'full')")
    run(crm)
    assert crm.value("select count(*) from mrr.t") == 100


def test_reconcile(crm: Database, maria: MariaDB) -> None:
    maria.execute(
        "create table t (a int, secret varchar(9), born date); insert into t values (1, 'ssh', '1985-01-01'), (1,"
        " 'ssh', '1985-01-01'), (2, null, null)"
    )
    add(crm, "shop.t", hash_columns="{secret}", truncate_columns='{"born": 4}')
    run(crm)
    crm.execute("call etl.reconcile('crm', 'shop.t')")
    crm.execute("delete from mrr.t where a = 2")
    crm.execute("call etl.reconcile('crm', 'shop.t', repair => true)")
    assert crm.query(
        "select rows_source, rows_mirror, rows_different from etl.reconciliation order by reconciliation_id"
    ) == [(3, 3, 0), (3, 2, 1)]
    assert crm.query("select a, born from mrr.t order by 1") == [(1, "1985"), (1, "1985"), (2, None)]


def test_names(crm: Database, maria: MariaDB) -> None:
    """Odd names of tables and columns, and tables whose names differ in case alone."""
    maria.execute(
        "create table `Odd ``t``` (`Id` int primary key, `select ``x` varchar(9)); insert into `Odd ``t``` values"
        " (1, 'a')"
    )
    maria.execute("create table T1 (id int primary key, upper_only int); create table t1 (id int primary key)")
    add(crm, 'shop."Odd `t`"')
    add(crm, "shop.t1")
    run(crm)
    assert crm.query('select "Id", "select `x" from mrr."Odd `t`"') == [(1, "a")]
    assert crm.query(
        "select column_name from etl.source_column c join etl.source_table t using (source_table_id) where t.mirror"
        " = 't1'"
    ) == [("id",)]
    with raises("42P01", message="source crm has no table shop.nix"):
        add(crm, "shop.nix")


def test_a_foreign_table_of_ones_own_over_mariadb(crm: Database, maria: MariaDB) -> None:
    """The names are then those of the foreign table here, and its columns those that count."""
    maria.execute("create table t (id int primary key, shape point, n int); insert into t values (1, point(1, 2), 7)")
    crm.execute(
        "create schema mine; grant usage on schema mine to headrace_owner; create foreign table mine.points"
        " (id int, n bigint) server crm options (dbname 'shop', table_name 't')"
    )
    add(crm, "mine.points", key="{id}")
    run(crm)
    run(crm)
    assert crm.query("select id, n from mrr.points") == [(1, 7)]
    assert crm.query("select * from etl.check_source('crm')") == []


def test_remove_source(crm: Database, maria: MariaDB) -> None:
    maria.execute("create table t (id int primary key)")
    add(crm, "shop.t")
    crm.execute("call etl.remove_table('crm', 'shop.t'); call etl.remove_source('crm')")
    assert crm.query("select to_regnamespace('crm'), (select count(*) from pg_catalog.pg_foreign_server)") == [
        (None, 0)
    ]


# ----------------------------------------------------------------------------------------------------------------------
# Other wrappers
# ----------------------------------------------------------------------------------------------------------------------
def test_a_foreign_table_that_is_here(files: Database, folder: Path) -> None:
    """Whatever a wrapper wants, the user's own foreign table says it; its definition is taken over."""
    file = write(folder / "own.csv", "1;a", "2;b")
    files.execute(
        "create schema mine; create foreign table mine.own (id int not null, name text) server files"
        f" options (filename '{file}', format 'csv', delimiter ';'); grant usage on schema mine to headrace_owner"
    )
    add_own = "call etl.add_table('files', 'mine.own', pipeline => 'others', key => '{id}')"
    files.execute(add_own)
    run(files)
    assert files.query("select id, name from mrr.own order by 1") == [(1, "a"), (2, "b")]
    files.execute("call etl.remove_table('files', 'mine.own')")
    assert files.query("select name from mine.own") == [("a",), ("b",)]


def test_a_wrapper_that_imports(operational: Database, warehouse: Database) -> None:
    """A wrapper of which nothing is known but that it has IMPORT FOREIGN SCHEMA, which tells all the rest."""
    warehouse.execute(
        "create extension if not exists postgres_fdw; create foreign data wrapper other_fdw handler"
        " etl_ext.postgres_fdw_handler"
        " validator etl_ext.postgres_fdw_validator; grant usage on foreign data wrapper other_fdw to headrace_owner"
    )
    server = operational.server
    warehouse.execute(
        "call etl.add_source('other', jsonb_build_object('host', %s::text, 'port', %s::text, 'dbname', %s::text),"
        " %s, %s, fdw => 'other_fdw')",
        [server.host, str(server.port), operational.name, SOURCE_ROLE, server.passwords[SOURCE_ROLE]],
    )
    operational.execute(
        "create table public.t (id int, d numeric(5,2), secret text, gone text); insert into public.t values (1,"
        " 1.5, 'ssh', 'x')"
    )
    warehouse.execute(
        "call etl.add_table('other', 'public.t', pipeline => 'others', key => '{id}', mirror => 'tee', drop_columns"
        " => '{gone}', hash_columns => '{secret}')"
    )
    run(warehouse)
    assert warehouse.query("select id, d::text, secret = etl.mask_hash('ssh') from mrr.tee") == [(1, "1.50", True)]
    assert warehouse.query(
        "select attname from pg_catalog.pg_attribute where attrelid = 'other.tee'::regclass and attnum > 0 order by"
        " attnum"
    ) == [("id",), ("d",), ("secret",)]
    operational.execute("update public.t set d = 2")
    run(warehouse)
    assert warehouse.query("select d::text from mrr.tee") == [("2.00",)]


def test_sql_server_without_one(warehouse: Database) -> None:
    """Registration and types as far as they go without a server; that it is away is class 08."""
    wire(warehouse, "tds_fdw")
    warehouse.execute(
        "call etl.add_source('erp', fdw => 'tds_fdw', options => %s, username => 'u', password => 'p w')",
        [json.dumps({"servername": "127.0.0.1", "port": "1", "database": "erp"})],
    )
    assert warehouse.query("select fdw from etl.source") == [("tds_fdw",)]
    with raises("0A000", message="only PostgreSQL has a log"):
        warehouse.execute("""call etl.add_table('erp', 'dbo.t', capture => 'log', columns => '{"id": "integer"}')""")
    with raises("08001", message="127.0.0.1"):
        warehouse.execute("""call etl.add_table('erp', 'dbo.t', columns => '{"id": "integer"}')""")
    with raises("22023", message="options of source erp2"):
        warehouse.execute("""call etl.add_source('erp2', fdw => 'tds_fdw', options => '{"username": "u"}')""")
    with raises("HV00D", message="nvalid option"):
        warehouse.execute("""call etl.add_source('erp2', fdw => 'tds_fdw', options => '{"nix": "u"}')""")
    assert warehouse.query("select source from etl.source") == [("erp",)]
