"""The first copy of a large table without a key: several processes read it, and the mirror is the same as ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.conftest import SOURCE_ROLE, register
from tests.support import Database, Flow, wait_until

BLOCKS = "select pg_relation_size('public.wide') / current_setting('block_size')::integer"
MIRROR = "select 'mrr.wide'::regclass::oid::bigint"
HELPERS = "select pid from pg_catalog.pg_stat_activity where leader_pid = %s"
READERS = f"select pid from pg_catalog.pg_stat_activity where datname = %s and usename = '{SOURCE_ROLE}'"
BLOCKED = f"{READERS} and wait_event = 'advisory'"

SHAPE = """
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attcollation,
       col_description(a.attrelid, a.attnum), obj_description(a.attrelid, 'pg_class'),
       array(select x::text from pg_catalog.pg_class c cross join unnest(c.relacl) x
             where c.oid = a.attrelid order by 1),
       array(select pg_get_constraintdef(c.oid) from pg_catalog.pg_constraint c
             where c.conrelid = a.attrelid and c.contype <> 'n' order by 1),
       (select c.relowner::regrole::text from pg_catalog.pg_class c where c.oid = a.attrelid),
       (select q.cache_size from pg_catalog.pg_sequences q
        where format('%I.%I', q.schemaname, q.sequencename) = pg_get_serial_sequence('mrr.wide', a.attname))
from pg_catalog.pg_attribute a where a.attrelid = 'mrr.wide'::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum"""

SOURCE_TABLE = """
create type public.mood as enum ('sad', 'fine');
create domain public.short as varchar(9) check (value <> 'x');
create table public.wide (
    n integer, price numeric(8, 2), code char(3), name varchar(20), mood public.mood, tags text[], short public.short,
    day date, secret text, mail text, note text, "a %s 100%% 'b" text, gone text, filler text);
alter table public.wide alter filler set storage plain;
alter table public.wide drop gone;
insert into public.wide
select i / 2, i / 100.0, i % 1000, 'name ' || i, (array['sad', 'fine'])[1 + i % 2]::public.mood,
       array['a', null, i::text], nullif(i % 7, 0)::text, date '2026-01-01' + i % 90, 's' || i, 'm' || i % 5, '',
       'x', repeat('y', 1000)
from generate_series(1, 3500) i;
insert into public.wide default values;
insert into public.wide default values;
analyze public.wide"""


@pytest.fixture
def wide(operational: Database, warehouse: Database) -> Flow:
    """A table without a key, of many types and of eight slices, registered; helpers are allowed."""
    operational.execute(SOURCE_TABLE)
    assert 7 * 64 < operational.value(BLOCKS) <= 8 * 64
    warehouse.execute(f"alter database {warehouse.name} set max_parallel_workers_per_gather = 2")
    warehouse.execute("update etl.settings set copy_from = 0")
    flow = register(operational, warehouse)
    flow.add_table(
        "public.wide", "wide", hash_columns=["secret"], drop_columns=["note"], truncate_columns='{"mail": 1}'
    )
    return flow


@contextmanager
def stopped_at(operational: Database, *slices: int) -> Iterator[None]:
    """Hold off those who read these slices of the source table, by a policy that asks for a lock."""
    operational.execute(
        "create function public.gate(tid) returns boolean language plpgsql as $$ declare"
        " v_at integer[] := translate($1::text, '()', '{}')::integer[]; begin"
        " if v_at[1] % 64 = 0 and v_at[2] = 1 then perform pg_advisory_xact_lock_shared(v_at[1] / 64); end if;"
        " return true; end $$;"
        "create policy gate on public.wide using (public.gate(ctid)); alter table public.wide enable row level security"
    )
    with operational.connect(autocommit=False) as holder, ExitStack() as end:
        end.callback(holder.rollback)
        for number in slices:
            holder.execute("select pg_advisory_xact_lock(%s)", [number])
        yield


def equal(flow: Flow) -> None:
    """See that the mirror has the source's rows, each with a number of its own, and takes changes like any other."""
    flow.assert_mirror_equals_source("public.wide", without=["secret", "mail", "note"])
    assert flow.warehouse.query("select count(distinct _hr_id), min(_hr_id) > 0 from mrr.wide") == [(3502, True)]
    flow.operational.execute("delete from public.wide where n % 3 = 0; insert into public.wide (n) values (-1), (-1)")
    flow.run("wide")
    flow.assert_mirror_equals_source("public.wide", without=["secret", "mail", "note"])
    assert flow.warehouse.value("select count(distinct secret) from mrr.wide where secret ~ '^[0-9a-f]{64}$'") > 1000
    assert flow.warehouse.value("select max(length(mail)) from mrr.wide") == 1
    added = "select min(_hr_id) from mrr.wide where n = -1"
    assert flow.warehouse.value(f"select ({added}) > max(_hr_id) from mrr.wide where n <> -1")


@pytest.mark.parametrize(("allowed", "parts", "share"), [(1, 2, "0.250"), (3, 3, "0.387"), (8, 4, "0.500")])
def test_copy_is_read_by_several(wide: Flow, allowed: int, parts: int, share: str) -> None:
    """Helpers read parts of it, each over a connection; others see how far they are; the mirror keeps its shape."""
    wide.warehouse.execute(
        f"alter database {wide.warehouse.name} set max_parallel_workers_per_gather = {allowed};"
        "alter default privileges for role headrace_owner in schema mrr grant select on tables to headrace_monitor;"
        "grant select, references on mrr.wide to headrace_reader; grant insert on mrr.wide to headrace_reader"
        " with grant option; grant select on mrr.wide to public"
    )
    before, mirror = wide.warehouse.query(SHAPE), wide.warehouse.value(MIRROR)
    seen = "select rows_total, share::text from etl.progress"
    with (
        wide.warehouse.connect("headrace_monitor") as monitor,
        stopped_at(wide.operational, *range(parts, 2 * parts)),
    ):
        run = wide.start("wide")
        wait_until(lambda: len(wide.operational.query(BLOCKED, [wide.operational.name])) == parts, what="all who read")
        assert monitor.execute(seen).fetchall() == [(3502, share)]
        assert len(wide.warehouse.query(HELPERS, [run.pid])) == parts
        assert len(wide.operational.query(READERS, [wide.operational.name])) == 1 + parts
    run.finish()
    assert wide.warehouse.value(MIRROR) != mirror, "made anew"
    assert wide.warehouse.query(SHAPE) == before
    equal(wide)
    assert wide.warehouse.query("select * from pg_catalog.pg_locks where locktype = 'advisory'") == []


def test_copy_where_one_helper_reads_all_parts(wide: Flow) -> None:
    """One after the other, if no more are to be had."""
    mirror = wide.warehouse.value(MIRROR)
    wide.warehouse.execute(f"alter database {wide.warehouse.name} set max_parallel_workers = 1")
    wide.start("wide").finish()
    assert wide.warehouse.value(MIRROR) != mirror, "made anew"
    equal(wide)


def test_copy_while_the_source_ends_idle_transactions(wide: Flow) -> None:
    """The connection that has the snapshot is idle while helpers read, and may be so for as long; not after it."""
    limit = "idle_in_transaction_session_timeout"
    wide.operational.execute(
        f"create table public.later (id integer primary key); insert into public.later values (1);"
        f"create policy limited on public.later using (current_setting('{limit}') = '300ms');"
        "alter table public.later enable row level security"
    )
    wide.add_table("public.later", "wide")
    wide.operational.execute(f"alter role {SOURCE_ROLE} set {limit} = '300ms'")
    with stopped_at(wide.operational, 2, 3):
        run = wide.start("wide")
        wait_until(lambda: wide.warehouse.query("select from etl.progress where share > 0"), what="a part of the copy")
        time.sleep(1)
    try:
        run.finish()
    finally:
        wide.operational.execute(f"alter role {SOURCE_ROLE} reset {limit}")
    assert wide.warehouse.value("select count(*) from mrr.later") == 1, "what was read after it"
    equal(wide)


@pytest.mark.parametrize("who", ["run", "helper", "reader"])
def test_copy_that_one_of_several_leaves(wide: Flow, who: str) -> None:
    """Whoever ends, the copy ends with it, nothing of it is left here or at the source, and the next run makes it."""
    helpers = "select * from pg_catalog.pg_stat_activity where leader_pid is not null"
    errors = "select e.sqlstate from etl.procedure_errors e"
    with stopped_at(wide.operational, 2, 3):
        run = wide.start("wide")
        wait_until(lambda: len(wide.operational.query(BLOCKED, [wide.operational.name])) == 2, what="two who read")
        if who == "run":
            wide.warehouse.execute("select pg_cancel_backend(%s)", [run.pid])
            with pytest.raises(psycopg.errors.QueryCanceled):
                run.finish()
        elif who == "helper":
            wide.warehouse.execute(f"select pg_terminate_backend(pid) from ({HELPERS} limit 1) h", [run.pid])
        else:
            one = f"{BLOCKED} limit 1"
            wide.operational.execute(f"select pg_terminate_backend(pid) from ({one}) r", [wide.operational.name])
        if who != "run":
            with pytest.raises(psycopg.errors.AdminShutdown, match="pipeline wide failed in step wide"):
                run.finish()
        assert wide.warehouse.query(helpers) == []
        assert wide.warehouse.query("select * from mrr.wide") == []
        assert wide.warehouse.query(errors) == [("57014" if who == "run" else "57P01",)]
    wait_until(lambda: not wide.operational.query(READERS, [wide.operational.name]), what="the readers' end")
    assert wide.last_run("status", "wide") == ("canceled" if who == "run" else "failed",)
    wide.run("wide")
    equal(wide)


@pytest.mark.parametrize(
    "bound",
    [
        "create view public.bound as select n from mrr.wide",
        "create function public.bound(mrr.wide) returns integer language sql as 'select 1'",
        "create table public.bound (n integer); alter table mrr.wide inherit public.bound",
        "create index on mrr.wide (n)",
        "create statistics mrr.bound on n, code from mrr.wide",
        "create publication bound for table mrr.wide",
        "grant select (n) on mrr.wide to headrace_reader",
        "alter table mrr.wide alter n set statistics 7",
        "alter table mrr.wide alter n set (n_distinct_inherited = -0.5)",
        "alter table mrr.wide alter filler set storage external",
        "comment on column mrr.wide.n is 'ours'",
        "alter table mrr.wide set (fillfactor = 90)",
        "alter table mrr.wide add check (n is distinct from 0 or true)",
        "alter table mrr.wide enable row level security",
        "alter table mrr.wide replica identity full",
    ],
)
def test_mirror_that_has_something_of_others_stays(wide: Flow, bound: str) -> None:
    """It is filled as it is, by one process."""
    wide.warehouse.execute(bound)
    before = wide.warehouse.value(MIRROR)
    wide.run("wide")
    assert wide.warehouse.value(MIRROR) == before
    equal(wide)


def test_mirror_with_a_rule_of_others_stays(wide: Flow) -> None:
    """A column that may not be null is not what Headrace makes."""
    replaceable = "select mrr.is_replaceable('mrr.wide')"
    wide.warehouse.execute("alter table mrr.wide drop constraint wide_pkey")  # as before a copy
    assert wide.warehouse.value(replaceable) is True
    wide.warehouse.execute("alter table mrr.wide alter n set not null")
    assert wide.warehouse.value(replaceable) is False


@pytest.mark.parametrize(
    ("where", "limit"),
    [
        ("warehouse", "alter database {} set max_parallel_workers_per_gather = 0"),
        ("warehouse", "alter database {} set max_parallel_workers = 0"),
        ("operational", "alter role headrace_source connection limit 2"),
        ("operational", "alter role headrace_source connection limit 1"),
    ],
)
def test_copy_is_read_by_one(wide: Flow, where: str, limit: str) -> None:
    """Where no helper is allowed or there, or the source has no connection for it, the copy is as whole."""
    before = wide.warehouse.value(MIRROR)
    database = getattr(wide, where)
    database.execute(limit.format(database.name))
    try:
        wide.start("wide").finish()
    finally:
        wide.operational.execute("alter role headrace_source connection limit -1")
    assert wide.warehouse.value(MIRROR) == before
    equal(wide)


def test_numbers_begin_anew_when_a_mirror_is_copied_again(wide: Flow) -> None:
    """Rows of a copy are of the first generation, as there are no others; so are facts that take their numbers."""
    wide.run("wide")
    wide.warehouse.execute("select setval(pg_get_serial_sequence('mrr.wide', '_hr_id'), 3 * 4294967296)")
    wide.operational.execute("create table public.kept as table public.wide; truncate public.wide")
    wide.run("wide")
    wide.operational.execute("insert into public.wide select * from public.kept; analyze public.wide")
    wide.run("wide")
    assert wide.warehouse.value("select max(_hr_id) < 4294967296 from mrr.wide")
    equal(wide)
