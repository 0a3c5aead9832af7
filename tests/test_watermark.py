"""Capture by watermark: what a growing column says is new arrives, whenever it was committed."""

from __future__ import annotations

import pytest

from tests.capture import changes, keyed_and_keyless
from tests.support import Flow, raises

PIPELINE = "marks"


def watched(flow: Flow, statement: str, **options: object) -> Flow:
    """Make a table at the source, register it with its column ``at`` as watermark, and run for the first time."""
    flow.operational.execute("set synchronous_commit = on")
    flow.operational.execute(statement)
    flow.add_table("public.t", PIPELINE, capture="watermark", watermark="at", **options)
    flow.run(PIPELINE)
    flow.assert_mirror_equals_source("public.t")
    return flow


def read(flow: Flow) -> int:
    """Return how many rows the last run read."""
    rows: int = flow.warehouse.value(
        "select sum(rows_read)::int from etl.step_log"
        " where step = 't' and run_id = (select max(run_id) from etl.run_log)"
    )
    return rows


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", "n"),
        ("numeric", "n / 7.0"),
        ("float8", "n / 7.0::float8"),
        ("date", "'2024-01-01'::date + n"),
        ("timestamp", "'2024-01-01'::timestamp + n * interval '1.000001 s'"),
        ("timestamptz", "'2024-01-01 00:00:00+05:30'::timestamptz + n * interval '1.000001 s'"),
    ],
)
@keyed_and_keyless
def test_only_what_is_new_is_read(source: Flow, kind: str, value: str, keyed: bool) -> None:
    """Rows from the last mark on are read, in the column's own type, and rows that merely overlap are no change."""
    key = "primary key" if keyed else ""
    rows = f"insert into public.t select n, {value}, 'a' from generate_series(%s, %s) n"
    watched(source, f"create table public.t (id int {key}, at {kind}, a text); {rows % (1, 100)}")
    source.run(PIPELINE)
    assert (read(source), changes(source)) == (1, (0, 0, 0))
    source.operational.execute(rows % (101, 110))
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    assert (read(source), changes(source)) == (11, (10, 0, 0))
    if keyed:
        source.operational.execute(f"update public.t set at = {value}, a = 'b' from (values (200)) x (n) where id = 5")
        source.run(PIPELINE)
        source.assert_mirror_equals_source("public.t")
        assert changes(source) == (0, 1, 0)


@keyed_and_keyless
def test_late_commits_are_not_missed(source: Flow, keyed: bool) -> None:
    """What a transaction that was open at a read commits later, below the mark, is found, as is what came meanwhile."""
    watched(
        source,
        f"create table public.t (id int {'primary key' if keyed else ''}, at int); insert into public.t values (1, 1)",
    )
    with source.operational.connect(autocommit=False) as late, source.operational.connect(autocommit=False) as later:
        late.execute("insert into public.t values (2, 2)")
        source.operational.execute("insert into public.t values (10, 10)")
        source.run(PIPELINE)
        later.execute("insert into public.t values (13, 13)")
        source.operational.execute("insert into public.t values (20, 20)")
        source.run(PIPELINE)
        late.commit()
        source.run(PIPELINE)
        source.assert_mirror_equals_source("public.t")
        source.operational.execute("insert into public.t values (30, 30)")
        source.run(PIPELINE)
        later.commit()
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    source.run(PIPELINE)
    source.run(PIPELINE)
    assert (read(source), changes(source)) == (1, (0, 0, 0))
    assert source.warehouse.value("select count(*) from etl.watermark") <= 2


@keyed_and_keyless
def test_late_commit_of_the_newest_transaction(source: Flow, keyed: bool) -> None:
    """A transaction that no snapshot lists, for it is the newest of all, can have written below the mark too."""
    watched(source, f"create table public.t (id int {'primary key' if keyed else ''}, at int)")
    with source.operational.connect(autocommit=False) as early, source.operational.connect(autocommit=False) as late:
        early.execute("select pg_current_xact_id()")
        late.execute("insert into public.t values (2, 2)")
        early.execute("insert into public.t values (10, 10)")
        early.commit()
        source.run(PIPELINE)
        source.run(PIPELINE)
        late.commit()
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


@pytest.mark.parametrize(
    ("kind", "overlap", "late"), [("int", "5", "96"), ("timestamp", "5 s", "'2024-01-01 00:01:36'")]
)
def test_overlap(source: Flow, kind: str, overlap: str, late: str) -> None:
    """Rows within the overlap are read again, so what an application writes a little below the mark is found."""
    value = "n" if kind == "int" else "'2024-01-01'::timestamp + n * interval '1 s'"
    watched(
        source,
        f"create table public.t (id int primary key, at {kind});"
        f" insert into public.t select n, {value} from generate_series(1, 100) n",
        overlap=overlap,
    )
    source.operational.execute(f"insert into public.t values (500, {late})")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    assert (read(source), changes(source)) == (7, (1, 0, 0))


@pytest.mark.parametrize(
    ("kind", "odd"), [("float8", ["NaN", "Infinity"]), ("numeric", ["NaN"]), ("timestamptz", ["infinity", "-infinity"])]
)
@keyed_and_keyless
def test_endless_marks(source: Flow, kind: str, odd: list[str], keyed: bool) -> None:
    """A value without end is no mark, or nothing would ever be new again."""
    first, second = ("'2024-01-01'", "'2024-01-02'") if kind == "timestamptz" else ("1", "2")
    rows = ", ".join(f"({10 + number}, '{value}')" for number, value in enumerate(odd))
    watched(
        source,
        f"create table public.t (id int {'primary key' if keyed else ''}, at {kind});"
        f" insert into public.t values (1, {first}), {rows}",
    )
    for statement in (f"insert into public.t values (2, {second})", f"insert into public.t values (20, '{odd[0]}')"):
        source.operational.execute(statement)
        source.run(PIPELINE)
        source.assert_mirror_equals_source("public.t")
        assert changes(source) == (1, 0, 0)


@keyed_and_keyless
def test_full_pass_finds_deleted_rows(source: Flow, keyed: bool) -> None:
    """A deleted row shows no mark; the comparison that full_every asks for finds it, and NULL marks too."""
    watched(
        source,
        f"create table public.t (id int {'primary key' if keyed else ''}, at int);"
        " insert into public.t select n, n from generate_series(1, 10) n",
        full_every="1 hour",
    )
    source.operational.execute("delete from public.t where id < 4; insert into public.t values (11, null)")
    source.run(PIPELINE)
    assert changes(source) == (0, 0, 0)
    source.warehouse.execute("update etl.source_table set full_at = full_at - interval '1 hour'")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")
    source.operational.execute("insert into public.t values (12, 12)")
    source.run(PIPELINE)
    assert changes(source) == (1, 0, 0)


def test_first_copy_of_an_empty_table(source: Flow) -> None:
    """An empty table has no mark; its first rows arrive."""
    watched(source, "create table public.t (id int, at int)")
    source.operational.execute("insert into public.t values (1, 1), (1, 1)")
    source.run(PIPELINE)
    source.assert_mirror_equals_source("public.t")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"watermark": "nothing"}, "cannot be a watermark"),
        ({"watermark": "a"}, "cannot be a watermark"),
        ({"watermark": "at", "overlap": "long"}, "is no overlap"),
        ({"watermark": "at", "hash_columns": ["at"]}, "cannot be a watermark"),
        ({}, "cannot be captured as asked"),
    ],
)
def test_watermarks_that_cannot_work(source: Flow, options: dict[str, object], message: str) -> None:
    """A column that does not grow, is masked or is not there, and an overlap of another kind, are refused."""
    source.operational.execute("create table public.t (id int, at int, a text)")
    with raises("22023", message=message):
        source.add_table("public.t", PIPELINE, capture="watermark", **options)
