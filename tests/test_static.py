"""The checkers find nothing, and each of them finds something where something is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import checks
from tests.support import Database, Flow

SCHEMAS = ["etl", "mrr", "stg", "dwh"]
PYTHON = ["bootstrap.py", "bench", "db", "migrations", "tests"]

# What plpgsql_check says of good code, because it cannot know better; everything else it says is a finding.
ACCEPTED = [
    re.compile(words)
    for words in (
        # the dynamic SQL writes, and is not looked into
        r"routine is marked as VOLATILE, should be STABLE: .*dynamic SQL",
        # the parameters of a step are always the same, whether it needs them all or not
        r"^function dwh\.load_\w+\(bigint,etl\.step\): .*: unused parameter \"p_step\"",
        # means that a function would be slow in an expression; a procedure is only called
        r"^procedure .*: composite OUT variable \"outcome\" is not single argument",
    )
]

# What a capture makes in passing, so that statements on it can be checked.
TEMPORARY_TABLES = """
create temporary table headrace_stream (seq bigint, xid bigint, tag "char", message bytea);
create temporary table headrace_kind (tag "char", relation bigint, is_pair boolean, rows bigint);
create temporary table headrace_relation (first_seq bigint, end_seq bigint, relation bigint, column_names text[]);
create temporary table headrace_change (
    seq bigint, tag "char", old_kind "char", old_values text[], new_values text[], kept integer[], column_names text[]
);
create temporary table headrace_log (_hr_seq bigint, _hr_op "char", _hr_kept text[], _hr_old bigint);
create temporary table headrace_unknown (source text, member bigint);
create temporary table headrace_incomplete (place tid, source text, customer_id bigint, product_id bigint);
create temporary table headrace_bucket (bucket integer, copies bigint, hash numeric, is_source boolean);
create temporary table headrace_image (bucket integer, image text, copies bigint);
create temporary table headrace_difference (bucket integer, image text, copies_source bigint, copies_mirror bigint);
create temporary table headrace_delta (captured_on date, country text, product_key bigint, lines bigint, units bigint);
create temporary table headrace_definition (
    ordinal bigint, column_name text, source_type text, type_name text, options text
);
create temporary table headrace_finding (severity text, subject text, finding text, remedy text);
create temporary table headrace_batch (batch_id bigint, pipeline text, captured_at timestamptz);
"""

GOOD = """-- Says what it is for.
create or replace function dwh.sample(p_a int)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_a + 1;
end;
$$;

comment on function dwh.sample(int) is 'A sample.';
revoke all on function dwh.sample(int) from public;
grant execute on function dwh.sample(int) to headrace_runner;
"""
COMMITTING = """-- Says what it is for.
create or replace procedure dwh.sample()
language plpgsql
as $$
begin
    set local search_path = pg_catalog, pg_temp;
    commit;
end;
$$;

comment on procedure dwh.sample() is 'A sample.';
revoke all on procedure dwh.sample() from public;
"""
INLINED = """-- Says what it is for.
create or replace function dwh.sample(p_a int)
returns setof int
language sql
stable
as $$ select abs(p_a) + 1 $$;

comment on function dwh.sample(int) is 'A sample.';
revoke all on function dwh.sample(int) from public;
"""
VIEW = """-- Says what it is for.
create or replace view dwh.sample as select 1 as one;
comment on view dwh.sample is 'A sample.';
revoke all on dwh.sample from public;
"""
SAMPLE = checks.PROCEDURES / "dwh" / "sample.sql"


def plpgsql_findings(database: Database) -> list[str]:
    """Return what plpgsql_check finds, with all its warnings, in all PL/pgSQL routines of our schemas."""
    rows = database.query(
        """
        select concat_ws(
            ': ', case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure,
            f.lineno, f.level, f.message, f.detail, f.hint
        )
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace and n.nspname = any (%s)
        join pg_catalog.pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
        cross join lateral public.plpgsql_check_function_tb(
            p.oid, fatal_errors => false, other_warnings => true, extra_warnings => true,
            performance_warnings => true, security_warnings => true
        ) as f
        order by 1
        """,
        [SCHEMAS],
    )
    return [finding for (finding,) in rows if not any(accepted.search(finding) for accepted in ACCEPTED)]


@pytest.fixture
def checked(sales: Flow) -> Database:
    """Return a warehouse with plpgsql_check, and with the tables that only registration, capture and pg_cron make."""
    sales.warehouse.execute(
        """
        create extension plpgsql_check schema public;
        create schema cron;
        create table cron.job (
            jobid bigint, schedule text, command text, nodename text, nodeport int, database text, username text,
            active boolean, jobname name
        );
        create table cron.job_run_details (
            jobid bigint, runid bigint, job_pid int, database text, username text, command text, status text,
            return_message text, start_time timestamptz, end_time timestamptz
        )
        """
    )
    sales.warehouse.execute(TEMPORARY_TABLES)
    return sales.warehouse


def test_plpgsql_check_finds_nothing(checked: Database) -> None:
    """No PL/pgSQL routine has a finding."""
    assert plpgsql_findings(checked) == []


def test_plpgsql_check_finds_what_is_wrong(checked: Database) -> None:
    """An unused variable or parameter, an unknown column, a hidden cast, a volatility and an injection are found."""
    checked.execute(
        """
        create procedure etl.wrong(name text, p_step etl.step) language plpgsql as $$
        declare
            v_unused int;
            v_cast bigint := 0;
        begin
            perform r.no_such_column from etl.run_log as r where r.run_id = v_cast;
            execute 'select ' || name;
        end $$;
        create function etl.volatile() returns bigint language plpgsql as $$
        begin
            return (select max(r.run_id) from etl.run_log as r);
        end $$
        """
    )
    found = "\n".join(plpgsql_findings(checked))
    for words in (
        "unused variable", "unused parameter", "no_such_column", "Hidden casting", "should be STABLE", "not sanitized",
    ):  # fmt: skip
        assert words in found


@pytest.mark.parametrize("path", checks.files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_file_of_procedures(path: Path) -> None:
    """Each file holds one object by its name, commented, closed to the public, and can be executed again."""
    assert list(checks.findings(path, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("text", [GOOD, COMMITTING, INLINED, VIEW])
def test_good_files_pass(text: str) -> None:
    """The samples that are broken below are good."""
    assert list(checks.all_findings({SAMPLE: text})) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (GOOD.replace("-- Says what it is for.\n", ""), "no header comment"),
        (GOOD.replace("begin", "begin").replace("create or", "crate or"), "does not parse"),
        (GOOD.replace("or replace ", ""), "CreateFunctionStmt that cannot be executed again"),
        (GOOD + "create table dwh.t (a int);", "CreateStmt that cannot be executed again"),
        (GOOD + "drop function dwh.other();", "DropStmt that cannot be executed again"),
        (GOOD + "do $$ begin null; end $$;", "DoStmt that cannot be executed again"),
        (GOOD + "set search_path = public;", "VariableSetStmt that cannot be executed again"),
        (GOOD + GOOD.replace("dwh.sample", "dwh.other"), "makes dwh.other, dwh.sample; by its name it makes"),
        (GOOD.replace("dwh.sample", "dwh.other"), "makes dwh.other; by its name it makes dwh.sample"),
        (GOOD.replace("comment on", "-- comment on"), "has no comment on dwh.sample"),
        (GOOD.replace("revoke", "-- revoke"), "does not revoke dwh.sample from public"),
        (GOOD.replace("set search_path", "set work_mem = '1MB' -- set search_path"), "without a pinned search_path"),
        (INLINED + "grant execute on function dwh.sample(int) to headrace_reader;", "nobody but its owner may call it"),
        (COMMITTING.replace("language plpgsql", "language plpgsql set search_path = ''"), "can have no set clause"),
        (COMMITTING.replace("    set local", "    -- set"), "set it locally in its body"),
        (VIEW.replace("or replace ", ""), "ViewStmt that cannot be executed again"),
        (VIEW.replace("from public", "from headrace_reader"), "does not revoke"),
    ],
)
def test_bad_files_are_found(text: str, finding: str) -> None:
    """Each rule is broken in turn and the finding says which."""
    assert finding in "\n".join(checks.findings(SAMPLE, text))


def test_pgspot_finds_nothing() -> None:
    """No file is open to an attack by way of search_path."""
    assert checks.pgspot(checks.files()) == ""


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (GOOD.replace("pg_catalog, pg_temp", "public"), "PS004"),
        (GOOD.replace("security definer\nset search_path = pg_catalog, pg_temp\n", ""), "PS001"),
        (GOOD.replace("begin", "declare\n    v_a etl.row_counts;\nbegin\n    v_a.rows_read := 1 +;"), "syntax error"),
    ],
)
def test_pgspot_finds_what_is_wrong(text: str, finding: str) -> None:
    """An unsafe search_path is found, inside a body too, and what pgspot cannot read is not passed over."""
    assert finding in checks.pgspot({SAMPLE: text})


def test_database_holds_what_the_files_say(warehouse: Database) -> None:
    """Routines and views of our schemas are those of the files, body by body, and there is no other one."""
    deployed = {
        (name, kind): body
        for name, kind, body in warehouse.query(
            """
            select n.nspname || '.' || p.proname, case p.prokind when 'p' then 'procedure' else 'function' end,
                case when p.prosqlbody is null then p.prosrc end
            from pg_catalog.pg_proc as p
            join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
            where n.nspname = any (%(schemas)s)
            union all
            select n.nspname || '.' || c.relname, 'view', null
            from pg_catalog.pg_class as c
            join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
            where n.nspname = any (%(schemas)s) and c.relkind in ('v', 'm')
            """,
            {"schemas": SCHEMAS},
        )
    }
    declared: dict[tuple[str, str], str | None] = {}
    for path, text in checks.files().items():
        routine = checks.routine(text)
        name = f"{path.parent.name}.{path.stem}"
        declared[name, routine.kind if routine else "view"] = routine.body if routine else None
    assert deployed == declared


def test_no_routine_is_overloaded(warehouse: Database) -> None:
    """A changed signature leaves no second, ambiguous routine behind."""
    assert (
        warehouse.query(
            "select pronamespace::regnamespace, proname from pg_catalog.pg_proc"
            " where pronamespace::regnamespace::text = any (%s) group by 1, 2 having count(*) > 1",
            [SCHEMAS],
        )
        == []
    )


def test_everything_visible_has_a_comment(warehouse: Database) -> None:
    """Schemas, tables, views, their columns and routines say what they are."""
    silent = warehouse.query(
        """
        with ours as (select oid, nspname from pg_catalog.pg_namespace where nspname = any (%s))
        select 'schema ' || nspname from ours where pg_catalog.obj_description(oid, 'pg_namespace') is null
        union all
        select 'relation ' || c.oid::regclass
        from pg_catalog.pg_class as c join ours on ours.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
            and pg_catalog.obj_description(c.oid, 'pg_class') is null
        union all
        select 'column ' || c.oid::regclass || '.' || a.attname
        from pg_catalog.pg_class as c join ours on ours.oid = c.relnamespace
        join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind in ('r', 'p') and not c.relispartition
            and c.relname <> 'alembic_version' and pg_catalog.col_description(c.oid, a.attnum) is null
        union all
        select 'routine ' || p.oid::regprocedure
        from pg_catalog.pg_proc as p join ours on ours.oid = p.pronamespace
        where pg_catalog.obj_description(p.oid, 'pg_proc') is null
        """,
        [SCHEMAS],
    )
    assert silent == []


def tool(*command: str, path: Path = checks.ROOT) -> subprocess.CompletedProcess[str]:
    """Run a checker in a directory."""
    return subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", *PYTHON],
        ["mypy", "--strict", *PYTHON],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_python_is_clean(arguments: list[str]) -> None:
    """Ruff and mypy find nothing."""
    result = tool(sys.executable, "-m", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr


def test_python_checkers_find_what_is_wrong(tmp_path: Path) -> None:
    """With the same settings, a file that breaks the rules is found by each."""
    (tmp_path / "wrong.py").write_text("import os\ndef f( a ): return a + 1\n", encoding="utf-8")
    settings = f"--config={checks.ROOT / 'pyproject.toml'}"
    assert "F401" in tool(sys.executable, "-m", "ruff", "check", "--no-cache", settings, ".", path=tmp_path).stdout
    assert tool(
        sys.executable, "-m", "ruff", "format", "--no-cache", "--check", settings, ".", path=tmp_path
    ).returncode
    assert "no-untyped-def" in tool(sys.executable, "-m", "mypy", "--strict", "wrong.py", path=tmp_path).stdout


def shell_scripts() -> list[Path]:
    """Return every shell script of the repository, by its ending or its first line."""
    scripts = []
    for folder, folders, names in os.walk(checks.ROOT):
        folders[:] = [name for name in folders if name == ".ci" or not name.startswith((".", "venv", "node_modules"))]
        for path in (Path(folder, name) for name in names):
            with path.open("rb") as file:
                first = file.readline(100)
            if path.suffix == ".sh" or (first.startswith(b"#!") and first.rstrip().endswith(b"sh")):
                scripts.append(path)
    return scripts


def test_shell_scripts_are_clean(tmp_path: Path) -> None:
    """Shellcheck finds nothing in our scripts, and something in a bad one."""
    shellcheck = shutil.which("shellcheck")
    assert shellcheck, "shellcheck is missing; python3 bootstrap.py test installs it"
    if scripts := shell_scripts():
        result = tool(shellcheck, *map(str, scripts))
        assert result.returncode == 0, result.stdout
    wrong = tmp_path / "wrong.sh"
    wrong.write_text("#!/bin/sh\nrm -rf $1/\n", encoding="utf-8")
    assert "SC2086" in tool(shellcheck, str(wrong)).stdout
