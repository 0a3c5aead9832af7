"""``alembic upgrade head`` deploys everything or nothing, ``downgrade base`` takes it away; neither touches others."""

from __future__ import annotations

import importlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.conftest import CRON_DATABASE, ROOT, database
from tests.support import Database, Flow, Row, Server, wait_until

HEAD = ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_current_head()
SAMPLE = """
create or replace function etl.sample() returns int language sql set search_path = pg_catalog, pg_temp
as $$ select {} $$;
comment on function etl.sample() is 'A sample.';
"""
JOB = "-- A sample.\nselect '{}' as schedule, 'select {}' as command, 'headrace_runner' as username;\n"


def work(root: Path, dsn: str, arguments: tuple[str, ...]) -> None:
    """Be an Alembic of its own, in a forked process: what is imported already need not be imported again."""
    os.chdir(root)
    os.environ["WAREHOUSE_DSN"] = dsn
    sys.stdout, sys.stderr = (root / "stdout").open("w"), (root / "stderr").open("w")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("alembic", "db", "migrations")]:
        del sys.modules[name]
    importlib.import_module("alembic.config").main(arguments, prog="alembic")


@dataclass
class Tree:
    """A checkout of its own, whose files a test may change."""

    root: Path

    def write(self, path: str, text: str) -> None:
        """Write one file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def start(self, dsn: str, *arguments: str) -> ForkProcess:
        """Start Alembic on a warehouse."""
        process = get_context("fork").Process(target=work, args=(self.root, dsn, arguments))
        process.start()
        return process

    def end(self, process: ForkProcess) -> tuple[bool, str, str]:
        """Wait for its end; return whether it succeeded, and what it wrote to stdout and stderr."""
        process.join(timeout=120)
        return process.exitcode == 0, (self.root / "stdout").read_text(), (self.root / "stderr").read_text()

    def printed(self, *arguments: str) -> str:
        """Return the SQL that a command prints, without a warehouse."""
        succeeded, out, err = self.end(self.start("", *arguments, "--sql"))
        assert succeeded, err
        return out

    def alembic(self, dsn: str, *arguments: str) -> tuple[bool, str]:
        """Run Alembic on a warehouse; return whether it succeeded, and all that it said."""
        succeeded, out, err = self.end(self.start(dsn, *arguments))
        return succeeded, out + err

    def run(self, warehouse: Database, *arguments: str) -> str:
        """Run Alembic on a warehouse, with success, and return all that it said."""
        succeeded, said = self.alembic(warehouse.dsn, *arguments)
        assert succeeded, said
        return said

    def fails(self, warehouse: Database, *arguments: str) -> str:
        """Run Alembic on a warehouse, without success, and return all that it said: no traceback."""
        succeeded, said = self.alembic(warehouse.dsn, *arguments)
        assert not succeeded, said
        assert "Traceback" not in said
        return said


def checkout(root: Path, *ignored: str) -> Tree:
    """Copy what a deployment is made of."""
    for name in ("migrations", "db", "procedures", "jobs", "dashboard"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", *ignored))
    shutil.copy(ROOT / "alembic.ini", root)
    return Tree(root)


@pytest.fixture
def whole(tmp_path: Path) -> Tree:
    """Return a copy of this checkout."""
    return checkout(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Tree:
    """Return a copy of this checkout with one routine and no job, to add to."""
    tree = checkout(tmp_path, "*.sql")
    tree.write(
        "procedures/etl/warehouse_id.sql", (ROOT / "procedures/etl/warehouse_id.sql").read_text(encoding="utf-8")
    )
    return tree


@pytest.fixture
def other(warehouse_server: Server) -> Iterator[Database]:
    """Yield a second empty database."""
    with database(warehouse_server, "blank_other") as handle:
        yield handle


@pytest.fixture
def cron(warehouse_server: Server) -> Iterator[Database]:
    """Yield pg_cron's database; jobs of warehouses are taken away afterwards."""
    handle = warehouse_server.database(CRON_DATABASE)
    handle.execute("create extension if not exists pg_cron")
    yield handle
    handle.query("select cron.unschedule(jobid) from cron.job where jobname like 'headrace:%'")
    handle.close()


def client(program: str, warehouse: Database, *arguments: str, given: str = "") -> str:
    """Run one of PostgreSQL's clients on a database."""
    server = warehouse.server
    environment = {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": warehouse.name,
    }
    result = subprocess.run(
        [program, *arguments],
        env={**os.environ, **environment},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def dump(warehouse: Database) -> list[str]:
    """Return a database's schema as pg_dump writes it, without what differs from call to call."""
    lines = client("pg_dump", warehouse, "--schema-only").splitlines()
    return [line for line in lines if not re.match(r"\\(un)?restrict ", line)]


def jobs_of(cron: Database, warehouse: Database) -> dict[str, Row]:
    """Return schedule, command, role and whether it is active of each job of a warehouse, by the file's name."""
    rows = cron.query(
        "select split_part(jobname, ':', 3), schedule, command, username, active from cron.job where database = %s",
        [warehouse.name],
    )
    return {name: tuple(rest) for name, *rest in rows}


def deployed(warehouse: Database) -> dict[str, object]:
    """Return when each file was deployed."""
    return dict(warehouse.query("select path, deployed_at from etl.deployed_file"))


# ----------------------------------------------------------------------------------------------------------------------
# Upgrade
# ----------------------------------------------------------------------------------------------------------------------
def test_everything_is_deployed(warehouse: Database) -> None:
    """The database is at head, knows every file, and all of it belongs to the owner role."""
    assert warehouse.query("select version_num from public.alembic_version") == [(HEAD,)]
    files = {path.relative_to(ROOT / "procedures").as_posix() for path in (ROOT / "procedures").rglob("*.sql")}
    assert deployed(warehouse).keys() == files
    jobs = {path.stem for path in (ROOT / "jobs/warehouse").glob("*.sql")}
    assert {job for (job,) in warehouse.query("select job from etl.job")} == jobs
    assert (
        warehouse.query(
            """
            select o.kind, o.name
            from (
                select 'schema' as kind, nspname::text as name, nspowner as owner, oid as namespace from pg_namespace
                union all select 'relation', oid::regclass::text, relowner, relnamespace from pg_class
                union all select 'routine', oid::regprocedure::text, proowner, pronamespace from pg_proc
                union all select 'type', oid::regtype::text, typowner, typnamespace from pg_type
            ) as o
            where o.namespace::regnamespace::text in ('etl', 'mrr', 'stg', 'dwh')
              and o.owner <> 'headrace_owner'::regrole
            """
        )
        == []
    )


def test_who_may_what(warehouse: Database) -> None:
    """By default nobody may anything: the roles have what the first revision says, PUBLIC has nothing."""
    rights = warehouse.query(
        """
        select r.rolname, n.nspname, c.relname
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_roles r on r.rolname in ('headrace_runner', 'headrace_monitor', 'headrace_reader')
        where n.nspname in ('etl', 'mrr', 'stg', 'dwh') and c.relkind in ('r', 'p', 'S')
          and case when c.relkind = 'S' then has_sequence_privilege(r.rolname, c.oid, 'usage, select, update')
              else has_table_privilege(r.rolname, c.oid, 'select, insert, update, delete, truncate') end
        """
    )
    assert {schema for role, schema, _ in rights if role == "headrace_reader"} == {"dwh"}
    assert {schema for role, schema, _ in rights if role == "headrace_monitor"} == {"etl"}
    assert "secret" not in {table for role, _, table in rights if role == "headrace_monitor"}
    assert "headrace_runner" not in {role for role, _, _ in rights}
    assert warehouse.query(
        "select privilege_type from pg_database, aclexplode(datacl) where datname = current_database() and grantee = 0"
    ) == []  # fmt: skip
    assert warehouse.query(
        "select nspname from pg_namespace, aclexplode(nspacl)"
        " where grantee = 0 and nspname in ('etl', 'mrr', 'stg', 'dwh', 'etl_ext')"
    ) == []  # fmt: skip


def test_same_again_changes_nothing(whole: Tree, warehouse: Database, cron: Database) -> None:
    """A second upgrade executes no file and leaves the jobs."""
    whole.run(warehouse, "upgrade", "head")
    before = deployed(warehouse), cron.query("select *, xmin from cron.job where database = %s", [warehouse.name])
    whole.run(warehouse, "upgrade", "head")
    assert before == (
        deployed(warehouse),
        cron.query("select *, xmin from cron.job where database = %s", [warehouse.name]),
    )
    assert {scheduled for (scheduled,) in warehouse.query("select is_scheduled from etl.job")} == {True}


def test_tables_are_brought_to_their_nodes(whole: Tree, warehouse: Database) -> None:
    """At the end of each deployment. What that does on a cluster, the tests there see."""
    warehouse.execute(
        "create table public.calls (); create or replace procedure etl.apply_layout() language plpgsql"
        " as 'begin insert into public.calls default values; end'"
    )
    whole.run(warehouse, "upgrade", "head")
    assert warehouse.value("select count(*) from public.calls") == 1


def test_changed_files_are_deployed_and_removed_ones_forgotten(small: Tree, blank: Database) -> None:
    """From a state where procedures/ was another: what changed is executed, and nothing else."""
    small.write("procedures/etl/sample.sql", SAMPLE.format(1))
    small.write("procedures/etl/short_lived.sql", SAMPLE.replace("sample", "short_lived").format(1))
    small.run(blank, "upgrade", "head")
    before = deployed(blank)
    small.write("procedures/etl/sample.sql", SAMPLE.format(2))
    (small.root / "procedures/etl/short_lived.sql").unlink()
    small.run(blank, "upgrade", "head")
    after = deployed(blank)
    assert blank.value("select etl.sample()") == 2
    assert after.keys() == {"etl/sample.sql", "etl/warehouse_id.sql"}
    assert after["etl/warehouse_id.sql"] == before["etl/warehouse_id.sql"]
    assert after["etl/sample.sql"] != before["etl/sample.sql"]


def test_new_revision_deploys_every_file_again(small: Tree, blank: Database) -> None:
    """A revision may drop what a file makes, with data kept: the unchanged file makes it again."""
    small.write("procedures/etl/sample.sql", SAMPLE.format(1))
    small.run(blank, "upgrade", "head")
    blank.execute("insert into etl.run_log (pipeline, action, status, started_by, started_from, backend_pid)"
                  " values ('sales', 'run', 'running', 'me', 'here', 1)")  # fmt: skip
    small.run(blank, "revision", "-m", "next", "--rev-id", "0999")
    revision = small.root / "migrations/versions/0999_next.py"
    text = revision.read_text(encoding="utf-8")
    revision.write_text(
        text.replace("    run(AS_ADMIN)", '    run("drop function etl.sample();")\n    run(AS_ADMIN)', 1)
    )
    small.run(blank, "upgrade", "head")
    assert blank.value("select etl.sample()") == 1
    assert blank.value("select status from etl.run_log") == "running"


def test_files_are_deployed_in_the_order_of_their_requirements(small: Tree, blank: Database) -> None:
    """``-- requires:`` goes before the order of paths."""
    small.write(
        "procedures/etl/a.sql", "-- requires: etl.b, etl.c\ncreate view etl.a as select b, c from etl.b, etl.c;"
    )
    small.write("procedures/etl/b.sql", "-- requires: etl.c\ncreate view etl.b as select c as b from etl.c;")
    small.write("procedures/etl/c.sql", "create view etl.c as select 1 as c")
    small.run(blank, "upgrade", "head")
    assert blank.row("select b, c from etl.a") == (1, 1)


@pytest.mark.parametrize(
    ("b", "said"),
    [
        ("-- requires: etl.a\nselect 1;", "files of procedures/ require each other: etl.a -> etl.b -> etl.a"),
        ("-- requires: etl.nowhere\nselect 1;", "procedures/etl/b.sql requires etl.nowhere, and no file makes it"),
    ],
    ids=["circle", "missing"],
)
def test_requirements_that_cannot_be_met(small: Tree, blank: Database, b: str, said: str) -> None:
    """A circle and a missing file are named."""
    small.write("procedures/etl/a.sql", "-- requires: etl.b\nselect 1;")
    small.write("procedures/etl/b.sql", b)
    assert said in small.fails(blank, "upgrade", "head")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("-- It's a test; really\n\nselect 'a;b',\n  nothing;", 4, 'column "nothing" does not exist'),
        ("select 1;\n\ncomment on function etl.none() is 'None.';", 3, "function etl.none() does not exist"),
        (
            "create function etl.b() returns int language plpgsql as $$\nbegin\n  retrun 1;\nend\n$$;",
            3,
            'syntax error at or near "retrun"',
        ),
        (
            "select 1;\ncreate function etl.b() returns int language plpgsql as $body$\ndeclare\n  v etl.none;\n"
            "begin\n  return $$1;$$;\nend\n$body$;",
            4,
            'type "etl.none" does not exist',
        ),
        (
            "create function etl.b() returns int\nbegin atomic\n  select 1;\n  select b;\nend;",
            4,
            'column "b" does not exist',
        ),
    ],
    ids=["query", "statement", "syntax", "body", "atomic"],
)
def test_broken_file_rolls_everything_back(small: Tree, blank: Database, text: str, line: int, message: str) -> None:
    """The error names file and line, and nothing is left of the upgrade."""
    before = dump(blank)
    small.write("procedures/etl/a.sql", SAMPLE.format(1))
    small.write("procedures/etl/b.sql", text)
    said = small.fails(blank, "upgrade", "head")
    assert f"procedures/etl/b.sql, line {line}: {message}" in said
    assert "rolled back" in said
    assert dump(blank) == before


def test_broken_file_leaves_what_was_deployed(small: Tree, blank: Database) -> None:
    """An upgrade of procedures alone is undone as a whole, too."""
    small.write("procedures/etl/a.sql", SAMPLE.format(1))
    small.run(blank, "upgrade", "head")
    before = deployed(blank)
    small.write("procedures/etl/a.sql", SAMPLE.format(2))
    small.write("procedures/etl/b.sql", "select 1 / 0;")
    small.fails(blank, "upgrade", "head")
    assert blank.value("select etl.sample()") == 1
    assert deployed(blank) == before


def test_broken_job_rolls_everything_back(small: Tree, blank: Database) -> None:
    """A job that is no such SELECT is named."""
    before = dump(blank)
    small.write("jobs/warehouse/sample.sql", "select 'never' as schedule")
    assert "jobs/warehouse/sample.sql: column j.command does not exist" in small.fails(blank, "upgrade", "head")
    assert dump(blank) == before


def test_upgrade_waits_for_another_one(small: Tree, blank: Database) -> None:
    """Two deployments of a database never work at the same time."""
    with blank.connect() as session:
        session.execute("select pg_advisory_lock(hashtextextended('headrace: deployment', 0))")
        upgrade = small.start(blank.dsn, "upgrade", "head")
        wait_until(
            lambda: blank.query(
                "select from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()"
                " where l.locktype = 'advisory' and not l.granted"
            ),
            what="the upgrade to wait",
        )
        assert blank.value("select to_regnamespace('etl') is null")
    succeeded, _, said = small.end(upgrade)
    assert succeeded, said
    assert "waiting for it" in said
    assert blank.value("select to_regnamespace('etl') is not null")


def test_only_an_upgrade_to_head_deploys_files(small: Tree, blank: Database) -> None:
    """An upgrade to an older revision does not, nor do commands that read or downgrade."""
    small.run(blank, "upgrade", "0001")
    assert deployed(blank) == {}
    small.run(blank, "upgrade", "head")
    small.write("procedures/etl/sample.sql", SAMPLE.format(1))
    for command in (["current"], ["check"], ["stamp", "head"], ["downgrade", "0001"]):
        small.run(blank, *command)
    assert deployed(blank).keys() == {"etl/warehouse_id.sql"}


def test_connection_errors_are_one_line_without_the_password(small: Tree, blank: Database) -> None:
    """Neither a wrong URL nor a refused password is repeated."""
    for dsn, said in (
        (f"postgresql+psycopg://me:tops3cret@{blank.server.host}/x", "WAREHOUSE_DSN must name the warehouse"),
        ("", "WAREHOUSE_DSN must name the warehouse"),
        (blank.dsn_of(blank.server.user, "tops3cret"), f"cannot connect to database {blank.name}"),
    ):
        succeeded, output = small.alembic(dsn, "upgrade", "head")
        assert not succeeded
        assert said in output
        assert "tops3cret" not in output
        assert "Traceback" not in output


# ----------------------------------------------------------------------------------------------------------------------
# SQL, check, downgrade
# ----------------------------------------------------------------------------------------------------------------------
def test_printed_sql_deploys_the_same(whole: Tree, blank: Database, other: Database, cron: Database) -> None:
    """What ``--sql`` prints makes, by psql, the schema and the rows that the upgrade makes; the same for downgrade."""
    empty = dump(blank)
    whole.run(blank, "upgrade", "head")
    printed = whole.printed("upgrade", "head")
    client("psql", other, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", given=printed)
    assert dump(other) == dump(blank)
    for table in ("etl.stage", "etl.dimension", "etl.step", "etl.settings", "public.alembic_version"):
        assert other.query(f"table {table}") == blank.query(f"table {table}")
    for columns in ("path, sha256 from etl.deployed_file", "job, schedule, command, username from etl.job"):
        assert other.query(f"select {columns} order by 1") == blank.query(f"select {columns} order by 1")
    assert "No new upgrade operations" in whole.run(other, "check")

    printed = whole.printed("downgrade", f"{HEAD}:base")
    client("psql", other, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", given=printed)
    assert dump(other) == empty
    assert jobs_of(cron, blank).keys() == {path.stem for path in (ROOT / "jobs/warehouse").glob("*.sql")}


def test_printed_sql_schedules_where_pg_cron_is(small: Tree, cron: Database) -> None:
    """In pg_cron's own database the printed SQL brings the jobs, and takes them away."""
    small.write("jobs/warehouse/sample.sql", JOB.format("1 1 1 1 1", 1))
    printed = small.printed("upgrade", "head")
    client("psql", cron, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", given=printed)
    try:
        assert jobs_of(cron, cron) == {"sample": ("1 1 1 1 1", "select 1", "headrace_runner", True)}
        assert cron.query("select job, is_scheduled from etl.job") == [("sample", True)]
    finally:
        printed = small.printed("downgrade", f"{HEAD}:base")
        client("psql", cron, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", given=printed)
    assert jobs_of(cron, cron) == {}


def test_check_sees_what_revisions_own(whole: Tree, sales: Flow) -> None:
    """Mirrors, change sets, foreign tables and partitions are no difference; a changed table is."""
    warehouse = sales.warehouse
    warehouse.execute(
        "create table dwh.fact_sales_test partition of dwh.fact_sales for values from ('1999-01-01') to ('1999-02-01')"
    )
    assert "No new upgrade operations" in whole.run(warehouse, "check")
    for change, undo, said in (
        ("alter table etl.batch add nothing int", "alter table etl.batch drop nothing", "etl.batch.nothing"),
        (
            "alter table etl.job alter command drop not null",
            "alter table etl.job alter command set not null",
            "command",
        ),
        ("drop index etl.batch_waiting_idx", "", "batch_waiting_idx"),
    ):
        warehouse.execute(change)
        assert said in whole.fails(warehouse, "check"), change
        warehouse.execute(undo)


def test_downgrade_takes_everything_away(whole: Tree, blank: Database, sales: Flow, cron: Database) -> None:
    """Nothing is left in the database but what others use, nor a job; the roles stay for the other warehouses."""
    warehouse = sales.warehouse
    empty = dump(blank)
    whole.run(warehouse, "upgrade", "head")
    assert jobs_of(cron, warehouse) != {}
    said = whole.run(warehouse, "downgrade", "base")
    assert dump(warehouse) == empty
    assert warehouse.query("select srvname from pg_foreign_server") == []
    assert warehouse.query("select extname from pg_extension where extname <> 'plpgsql'") == []
    assert warehouse.query("select * from pg_default_acl") == []
    assert jobs_of(cron, warehouse) == {}
    assert "role headrace_owner stays" in said
    whole.run(warehouse, "upgrade", "head")
    assert warehouse.query("select status from etl.run_log") == []
    assert "No new upgrade operations" in whole.run(warehouse, "check")


def test_downgrade_leaves_extensions_that_others_use(small: Tree, blank: Database) -> None:
    """A foreign server of somebody else keeps its extension, and does not stop the downgrade."""
    small.run(blank, "upgrade", "head")
    blank.execute("create server foreign_to_us foreign data wrapper postgres_fdw")
    assert "left out: drop extension postgres_fdw" in small.run(blank, "downgrade", "base")
    assert blank.query("select srvname from pg_foreign_server") == [("foreign_to_us",)]
    assert blank.value("select to_regnamespace('etl') is null")
    small.run(blank, "upgrade", "head")


# ----------------------------------------------------------------------------------------------------------------------
# Jobs
# ----------------------------------------------------------------------------------------------------------------------
def test_jobs_are_what_the_files_say(small: Tree, blank: Database, cron: Database) -> None:
    """A new file schedules, a changed one changes, a removed one unschedules, and a stopped job stays stopped."""
    small.write("jobs/warehouse/a.sql", JOB.format("1 1 1 1 1", 1))
    small.write("jobs/warehouse/b.sql", JOB.format("2 2 2 2 2", 2))
    small.run(blank, "upgrade", "head")
    assert jobs_of(cron, blank) == {
        "a": ("1 1 1 1 1", "select 1", "headrace_runner", True),
        "b": ("2 2 2 2 2", "select 2", "headrace_runner", True),
    }
    warehouse_id = blank.value("select etl.warehouse_id()")
    assert cron.query("select from cron.job where jobname = %s", [f"headrace:{warehouse_id}:a"])

    cron.execute("update cron.job set active = false where database = %s and command = 'select 1'", [blank.name])
    (small.root / "jobs/warehouse/b.sql").unlink()
    small.write("jobs/warehouse/a.sql", JOB.format("3 3 3 3 3", 3))
    small.write("jobs/warehouse/c.sql", JOB.format("4 4 4 4 4", 4))
    small.run(blank, "upgrade", "head")
    assert jobs_of(cron, blank) == {
        "a": ("3 3 3 3 3", "select 3", "headrace_runner", False),
        "c": ("4 4 4 4 4", "select 4", "headrace_runner", True),
    }
    assert blank.query("select job, schedule, is_scheduled from etl.job order by job") == [
        ("a", "3 3 3 3 3", True),
        ("c", "4 4 4 4 4", True),
    ]


def test_warehouses_of_a_cluster_leave_each_others_jobs(
    small: Tree, blank: Database, other: Database, cron: Database
) -> None:
    """Jobs of another warehouse and of strangers outlive a change, a removal and a downgrade."""
    stranger = cron.value("select cron.schedule_in_database('stranger', '5 5 5 5 5', 'select 5', %s)", [blank.name])
    small.write("jobs/warehouse/a.sql", JOB.format("1 1 1 1 1", 1))
    small.run(blank, "upgrade", "head")
    small.run(other, "upgrade", "head")
    before = jobs_of(cron, other)
    assert before == {"a": ("1 1 1 1 1", "select 1", "headrace_runner", True)}

    small.write("jobs/warehouse/a.sql", JOB.format("2 2 2 2 2", 2))
    small.run(blank, "upgrade", "head")
    assert jobs_of(cron, blank)["a"] == ("2 2 2 2 2", "select 2", "headrace_runner", True)
    assert jobs_of(cron, other) == before
    (small.root / "jobs/warehouse/a.sql").unlink()
    small.run(blank, "upgrade", "head")
    assert "a" not in jobs_of(cron, blank)
    assert jobs_of(cron, other) == before
    small.run(blank, "downgrade", "base")
    assert jobs_of(cron, other) == before
    assert cron.value("select cron.unschedule(%s)", [stranger])


def test_clone_gets_jobs_of_its_own(small: Tree, blank: Database, cron: Database, warehouse_server: Server) -> None:
    """A clone is another warehouse: its upgrade leaves its origin's jobs, and schedules under a new id."""
    small.write("jobs/warehouse/a.sql", JOB.format("1 1 1 1 1", 1))
    small.run(blank, "upgrade", "head")
    origin = cron.query("select * from cron.job where database = %s", [blank.name])
    blank.close()
    with database(warehouse_server, "blank_clone", template=blank.name) as clone:
        small.run(clone, "upgrade", "head")
        assert jobs_of(cron, clone) == {"a": ("1 1 1 1 1", "select 1", "headrace_runner", True)}
        assert clone.value("select etl.warehouse_id()") != blank.value("select etl.warehouse_id()")
    assert cron.query("select * from cron.job where database = %s", [blank.name]) == origin


def test_refused_schedule_is_named(small: Tree, blank: Database, cron: Database) -> None:
    """What pg_cron does not understand is said after the deployment, which stays."""
    small.write("jobs/warehouse/a.sql", JOB.format("whenever", 1))
    assert "the warehouse is deployed, but pg_cron refuses its jobs: invalid schedule" in small.fails(
        blank, "upgrade", "head"
    )
    assert jobs_of(cron, blank) == {}
    assert blank.query("select job, is_scheduled from etl.job") == [("a", False)]


# ----------------------------------------------------------------------------------------------------------------------
# An administrator who is no superuser
# ----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def plain(warehouse_server: Server, blank: Database, cron: Database) -> Iterator[str]:
    """Yield a role that may create roles and owns the empty database, but is no superuser."""
    role = "plain_admin"
    warehouse_server.passwords[role] = secrets.token_hex(8)
    admin = warehouse_server.database("postgres")
    admin.execute(f"create role {role} login createrole password '{warehouse_server.passwords[role]}'")
    admin.execute(f"alter database {blank.name} owner to {role}")
    yield role
    cron.execute(f"drop owned by {role}; revoke usage on schema cron from headrace_runner")
    cron.execute("revoke execute on function cron.schedule_in_database, cron.alter_job from headrace_runner")
    blank.execute(f"reassign owned by {role} to {admin.server.user}; drop owned by {role}")
    admin.execute(f"drop role {role}")
    admin.close()


def test_administrator_without_superuser(
    small: Tree, blank: Database, cron: Database, plain: str, warehouse_server: Server
) -> None:
    """Each refusal tells what a superuser must run, once; with that the plain administrator does everything."""
    small.write("jobs/warehouse/a.sql", JOB.format("1 1 1 1 1", 1))
    dsn = blank.dsn_of(plain, warehouse_server.passwords[plain])

    def obey(said: str) -> None:
        order = re.search(r"Have a superuser run, in database (\w+): (.*;)", said)
        assert order, said
        handle = cron if order[1] == cron.name else blank
        handle.execute(order[2])

    succeeded, said = small.alembic(dsn, "upgrade", "head")
    while not succeeded:
        obey(said)
        (succeeded, said), before = small.alembic(dsn, "upgrade", "head"), said
        assert said != before
    assert "WARNING: pg_cron is not to be found" in said
    assert '1 1 1 1 1  psql -c "select 1"' in said
    assert blank.query("select job, is_scheduled from etl.job") == [("a", False)]
    assert blank.value("select nspowner::regrole::text from pg_namespace where nspname = 'dwh'") == "headrace_owner"

    cron.execute(f"grant pg_read_all_settings to {plain}; grant connect on database {cron.name} to {plain}")
    _, said = small.alembic(dsn, "upgrade", "head")
    assert "WARNING: pg_cron refuses this role" in said
    obey(said)
    small.alembic(dsn, "upgrade", "head")
    assert jobs_of(cron, blank) == {"a": ("1 1 1 1 1", "select 1", "headrace_runner", True)}

    succeeded, said = small.alembic(dsn, "downgrade", "base")
    assert succeeded, said
    assert jobs_of(cron, blank) == {}
    assert blank.value("select to_regnamespace('dwh') is null")
