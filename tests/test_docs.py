"""The documentation holds: its commands run and print what it says, its links lead somewhere.

A block in ``sh`` or ``sql`` is run, in order, in a world of its file's own. An SQL block says in its first line where:
``-- warehouse`` or ``-- operational database``. The info string after the language may say ``fails``, or ``not run:``
with the reason. A block in ``text`` right after one that was run is what it prints, compared loosely: each line is
found once, in any order; space, rules, times, durations and numbers of runs may differ, and … stands for anything.
Names of slots begin with the warehouse's id: in what is run it stands for the one that was printed last.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import bootstrap
from bench import command as bench
from db import deploy
from db.home import Choices, Home
from tests.conftest import CRON_DATABASE, ROOT, SOURCE_ROLE, database
from tests.support import Database, Flow, Server

PAGES = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if path != ROOT / "docs/reference.md"
)
RUN = [path for path in PAGES if path.name != "CONTRIBUTING.md"]  # its commands are the whole suite and what it needs
OWN = {  # pages about the reader's own databases
    "README.md",
    "capture-from-the-log.md",
    "own-databases.md",
    "remove.md",
    "upgrade.md",
}
FENCE = re.compile(r"^ *```(?P<language>\w*)(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")
PLACES = {"-- warehouse": "warehouse", "-- operational database": "op"}
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?(\+\d\d)?"
FLUSHED = {"PGOPTIONS": "-c synchronous_commit=on"}  # as real servers have it: the next run sees what a block committed
SLOT = r"\bheadrace_[0-9a-f]{8}_"
LOOSE = {  # what may differ in a line, and what it is found by
    MOMENT: MOMENT,
    r"\d\d:\d\d:\d\d": r"\d\d:\d\d:\d\d",
    r"\b\d+ ms\b": r"\d+ ms",
    r"\b(run|reconcile) \d+\b": r"(run|reconcile) \d+",
    SLOT: SLOT,
    "-{2,}": "-{2,}",
    r"\s+": r"\s+",
    "…": ".*",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    info: str
    text: str

    @property
    def is_run(self) -> bool:
        """Tell whether the test runs it."""
        return self.language in {"sh", "sql"} and not self.info.startswith("not run")

    def __str__(self) -> str:
        """Say where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, m.start()) + 1, m["language"], m["info"].strip(), m["text"])
        for m in FENCE.finditer(text)
    ]


@dataclass
class World:
    """What a reader of one page has: a home, an operational database, a warehouse, and the DSNs that the page names."""

    home: Home
    directory: Path
    warehouse: Database
    dsns: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    slot: str = ""

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run a block from a directory that looks like the checkout, so that what it writes stays out of it."""
        text = block.text
        for named, dsn in self.dsns.items():
            text = text.replace(named, dsn)
        text = re.sub(SLOT, self.slot or r"\g<0>", text)
        if block.language == "sh":
            words, given = ["sh", "-ec", text], None
        else:
            place = PLACES[block.text.splitlines()[0].strip()]
            words = ["python3", "bootstrap.py", "psql", place, "-X", "-v", "ON_ERROR_STOP=1"]
            given = text
        done = subprocess.run(
            words,
            input=given or "",
            env={
                **os.environ,
                **FLUSHED,
                **self.environment,
                "HEADRACE_HOME": str(self.home.path),
                "HEADRACE_BACKUP_DIR": str(self.home.path / "backups"),
            },
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        self.slot = (re.findall(SLOT, done.stdout) or [self.slot])[-1]
        self.stop_jobs(delete=False)
        return done

    def stop_jobs(self, *, delete: bool) -> None:
        """Keep pg_cron from running what a block deployed: a page tells of runs that its reader starts."""
        cron = self.warehouse.server.database(CRON_DATABASE)
        if cron.value("select to_regclass('cron.job') is not null"):
            verb = "cron.unschedule(jobid)" if delete else "cron.alter_job(jobid, active => false)"
            cron.execute(f"select {verb} from cron.job where database = %s", [self.warehouse.name])
        cron.close()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a directory that looks like the checkout."""
    directory = tmp_path / "headrace"
    directory.mkdir()
    for path in ROOT.iterdir():
        if not path.name.startswith("."):
            (directory / path.name).symlink_to(path)
    return directory


@pytest.fixture
def demo(
    tmp_path: Path,
    checkout: Path,
    cloned_operational: Callable[[], AbstractContextManager[Database]],
    cloned_warehouse: Callable[[], AbstractContextManager[Database]],
) -> Iterator[World]:
    """Yield what ``bootstrap.py demo`` leaves, but smaller and without jobs."""
    with cloned_operational() as operational, cloned_warehouse() as warehouse:
        operational.execute("call public.generate(rows => 2000, seed => 1)")
        source = operational.dsn_of(SOURCE_ROLE, operational.server.passwords[SOURCE_ROLE])
        deploy.register(warehouse.dsn, source, operational.dsn)
        Flow(operational, warehouse).run()
        home = Home(tmp_path / "home")
        home.prepare()
        home.keep(Choices(source=operational.dsn, warehouse=warehouse.dsn))
        runner = warehouse.dsn_of("headrace_runner", warehouse.server.passwords["headrace_runner"])
        copy = warehouse.server.database(f"{warehouse.name}_copy")
        dsns = {
            "postgresql://headrace_runner@dwh.example.com/warehouse": runner,
            "postgresql://admin@dwh.example.com/warehouse_copy": copy.dsn,
        }
        world = World(home, checkout, warehouse, dsns)
        yield world
        world.stop_jobs(delete=True)
        warehouse.execute(f"drop database if exists {copy.name} with (force)")


SHOP = """
create table public.stores (id int primary key, name text, city text);
create table public.visits (id int primary key, store_id int, visited_on date, visitors int);
create table public.people (id int primary key, name text, email text, phone text, birthday date);
insert into public.stores values (1, 'Centre', 'Oslo'), (2, 'Harbour', 'Bergen');
insert into public.visits values (1, 1, '2026-03-02', 40), (2, 2, '2026-03-02', 25);
"""


@pytest.fixture
def own(
    tmp_path: Path,
    checkout: Path,
    operational_server: Server,
    warehouse_template: Database,
    blank: Database,
) -> Iterator[World]:
    """Yield two servers as a company has them: a database with tables of its own, an empty one to be the warehouse."""
    with database(operational_server, "docs_shop") as shop:
        shop.execute(SHOP)
        shop.execute(f"alter role {SOURCE_ROLE} noreplication")
        home = Home(tmp_path / "home")
        home.prepare()
        home.keep(Choices(warehouse=blank.dsn))
        password = operational_server.passwords[SOURCE_ROLE]
        dsns = {
            "postgresql://dba@db.example.com/shop": shop.dsn,
            "postgresql://headrace_source@db.example.com/shop": shop.dsn_of(SOURCE_ROLE, password),
            "postgresql://admin@dwh.example.com/warehouse": blank.dsn,
        }
        world = World(home, checkout, blank, dsns, {"HEADRACE_SOURCE_PASSWORD": password})
        yield world
        world.stop_jobs(delete=True)
    assert warehouse_template.name != blank.name


def lines(text: str) -> list[str]:
    """Return the lines of an output that say something."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def pattern(line: str) -> re.Pattern[str]:
    """Return what finds a line of expected output."""
    found = re.compile("|".join(f"({find})" for find in LOOSE))
    parts, end = [], 0
    for match in found.finditer(line):
        loose = next(loose for find, loose in LOOSE.items() if re.fullmatch(find, match[0]))
        parts += [re.escape(line[end : match.start()]), loose]
        end = match.end()
    return re.compile("".join([*parts, re.escape(line[end:])]))


def missing(expected: str, printed: str) -> list[str]:
    """Return the lines of the expected output that were not printed."""
    left = lines(printed)
    absent = []
    for line in lines(expected):
        if line == "…":
            continue
        found = next((candidate for candidate in left if pattern(line).fullmatch(candidate)), None)
        if found is None:
            absent.append(line)
        else:
            left.remove(found)
    return absent


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_do_what_the_page_says(page: Path, request: pytest.FixtureRequest) -> None:
    todo = blocks(page)
    if not any(block.is_run for block in todo):
        return
    world: World = request.getfixturevalue("own" if page.name in OWN else "demo")
    for block, following in zip(todo, [*todo[1:], None], strict=True):
        if not block.is_run:
            continue
        done = world.run(block)
        assert (done.returncode != 0) == (block.info == "fails"), f"{block}\n{done.stdout}"
        if following is not None and following.language == "text":
            absent = missing(following.text, done.stdout)
            assert not absent, f"{following}: not printed: {absent}\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_are_marked(page: Path) -> None:
    """Each block has a language, one that is not run a reason, and SQL a place."""
    for block in blocks(page):
        assert block.language, f"{block} has no language"
        assert block.info in {"", "fails"} or re.fullmatch(r"not run: .+", block.info), f"{block}: {block.info}"
        if block.language == "sql" and block.is_run and page in RUN:
            assert block.text.splitlines()[0].strip() in PLACES, f"{block} does not say where it runs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(path), f"{page.name} links to {target}#{anchor}, which is not there"


def anchors(page: Path) -> set[str]:
    """Return the anchors that a renderer gives to the headings of a page."""
    titles = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text(encoding="utf-8"))}
    assert {page for page in (ROOT / "docs").rglob("*.md") if page != index} <= linked


def test_commands_of_bootstrap_exist() -> None:
    """Every subcommand and flag of ``bootstrap.py`` that a page names is one."""
    named = {
        (page.name, command, flag)
        for page in PAGES
        for command, rest in re.findall(r"python3 bootstrap\.py ([a-z]\w*)([^\n`#]*)", page.read_text(encoding="utf-8"))
        for flag in ("", *re.findall(r"(?<!\S)--[a-z-]+", rest if command not in {"alembic", "psql", "test"} else ""))
    }
    commands = bootstrap.parser()._subparsers
    assert commands is not None
    known = {name: sub.format_help() for name, sub in commands._group_actions[0].choices.items()}  # type: ignore[union-attr]
    known |= {name: (ROOT / "backup" / f"{name}.sh").read_text(encoding="utf-8") for name in bootstrap.SCRIPTS}
    known["bench"] = bench.parser().format_help()
    assert {(page, command, flag) for page, command, flag in named if flag not in known.get(command, "-")} == set()


def test_routines_that_pages_name_exist(warehouse: Database) -> None:
    """Every ``schema.name(`` of etl, mrr, stg or dwh outside of worked examples is a routine of the warehouse."""
    known = {
        name
        for (name,) in warehouse.query(
            "select n.nspname || '.' || p.proname from pg_catalog.pg_proc as p"
            " join pg_catalog.pg_namespace as n on n.oid = p.pronamespace"
        )
    }
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        made = set(re.findall(r"create (?:or replace )?(?:function|procedure|table|view) (\w+\.\w+)", text))
        made |= set(re.findall(r"etl\.create_stage\('(\w+\.\w+)'", text))
        named = set(re.findall(r"\b((?:etl|mrr|stg|dwh)\.\w+)\(", text))
        assert named - made <= known, f"{page.name} names {sorted(named - made - known)}"


@pytest.mark.parametrize(
    ("expected", "printed", "absent"),
    [
        ("run 7 succeeded in 41 ms", "run 12 succeeded in 5 ms", []),
        (" a | b\n---+---\n 1 | 2", "  a   | b \n------+--\n  1   | 2", []),
        ("at 2026-01-02 03:04:05.6+00", "at 2026-11-23 19:00:00+00", []),
        ("ERROR:  no … here", "ERROR:  no table here", []),
        ("3 rows", "4 rows", ["3 rows"]),
        ("a\na", "a", ["a"]),
    ],
)
def test_output_is_compared_loosely_but_compared(expected: str, printed: str, absent: list[str]) -> None:
    assert missing(expected, printed) == absent
