#!/usr/bin/env python3
"""Headrace in one command: installs what is missing, runs two PostgreSQL instances, deploys, shows, tests.

Starts on Python's standard library alone and goes on in a virtual environment of its own.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - what a user has may be older
    sys.exit("headrace: Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2])  # noqa: UP031

import argparse
import contextlib
import errno
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from db import machine, psql
from db.home import Choices, Home
from db.instance import Instance
from db.problem import Problem
from db.stage import Stage

BEGAN = time.monotonic()
EMBEDDED = "embedded"
ARGUMENTS = "HEADRACE_ARGUMENTS"
STARTED = "HEADRACE_STARTED"
DROP_SLOTS = """
set lock_timeout = '20s'; set client_min_messages = warning;
do $$ begin if to_regprocedure('etl.drop_slots()') is not null then"""
SCRIPTS = ("backup", "restore", "verify")  # the commands that are a script of backup/
PASSED_ON = ("alembic", "bench", "test", *SCRIPTS)  # the commands whose arguments are another program's
INSTALLS = ("bench", "demo", "test", "up")  # the commands that may install something
DEFAULT_ROWS = 100_000
OVERVIEW = """
three to begin with:
  python3 bootstrap.py demo      install, start, fill, load, run, show: a first look, nothing asked, nothing destroyed
  python3 bootstrap.py status    is it up, is it fresh, what failed
  python3 bootstrap.py test      the whole test suite on instances of its own

your own database as the source:
  python3 bootstrap.py up --source postgresql://headrace_source@db.example.com/shop
  (db/source.sql is what its DBA runs; the password may come from PGPASSWORD or ~/.pgpass)

State is kept in $HEADRACE_HOME, by default /var/lib/headrace for root and ~/.local/share/headrace for others.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="bootstrap.py", description="ETL inside PostgreSQL: two instances, and pg_cron keeps time.",
        epilog=OVERVIEW, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    commands = top.add_subparsers(dest="command", metavar="command")

    ports = argparse.ArgumentParser(add_help=False)
    ports.add_argument("--op-port", type=port, metavar="PORT", help="port of the operational instance (54321)")
    ports.add_argument("--wh-port", type=port, metavar="PORT", help="port of the warehouse instance (54322)")

    demo = commands.add_parser("demo", parents=[ports], help="everything once, with sample data, and a look at it")
    demo.add_argument("--rows", type=positive, default=DEFAULT_ROWS, help=f"sales to begin with ({DEFAULT_ROWS})")
    demo.add_argument("--seed", type=int, default=1, help="makes the sample data repeatable (1)")

    up = commands.add_parser("up", parents=[ports], help="start what does not run and deploy")
    up.add_argument("--source", metavar="DSN", help=f"read from this database; '{EMBEDDED}' goes back to our own")
    up.add_argument("--warehouse", metavar="DSN", help=f"deploy into this database; '{EMBEDDED}' goes back to our own")

    status = commands.add_parser("status", help="instances, last runs, freshness, pending changes, errors")
    status.add_argument("--json", action="store_true", help="for a program")

    commands.add_parser("env", help='for a shell: eval "$(python3 bootstrap.py env)"')
    opened = commands.add_parser("psql", help="open psql on the operational database or the warehouse")
    opened.add_argument("database", choices=("op", "warehouse"))
    opened.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to psql")

    dashboard = commands.add_parser("dashboard", help="serve the dashboard on this machine and open it in a browser")
    dashboard.add_argument("--port", type=any_port, default=54323, help="port on 127.0.0.1, 0 for any (54323)")
    dashboard.add_argument("--no-browser", action="store_true", help="only serve it")

    source = commands.add_parser(
        "add-source", help="read from one more PostgreSQL database, or from a known one elsewhere",
        description="Registers a PostgreSQL database as a source. MySQL, MariaDB, SQL Server, CSV files and their like"
        " are registered in the warehouse: call etl.add_source(…, fdw => …); docs/how-to/other-sources.md says how.",
    )  # fmt: skip
    source.add_argument("name", help="what it is called in the warehouse")
    source.add_argument("dsn", help="postgresql://user@host:port/database; the password from PGPASSWORD or a prompt")

    commands.add_parser("alembic", help="what follows is passed on to Alembic, on the warehouse", add_help=False)

    commands.add_parser(
        "backup", help="back up the warehouse; what follows is passed on to backup/backup.sh", add_help=False
    )
    commands.add_parser("restore", help="what follows is passed on to backup/restore.sh", add_help=False)
    commands.add_parser("verify", help="restore the newest backup to prove it: backup/verify.sh", add_help=False)

    down = commands.add_parser("down", help="stop both instances")
    down.add_argument("--purge", action="store_true", help="delete their data and all else in $HEADRACE_HOME")
    down.add_argument("--yes", action="store_true", help="do not ask")

    commands.add_parser("test", help="run the tests; what follows is passed on to pytest", add_help=False)
    commands.add_parser("bench", help="measure beside the floor and peers; bench --help tells how", add_help=False)
    return top


def port(text: str) -> int:
    """Return a port that a user may listen on."""
    number = int(text)
    if not 1024 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is not between 1024 and 65535")
    return number


def any_port(text: str) -> int:
    """Return a port that a user may listen on, or 0 for any that is free."""
    return 0 if text == "0" else port(text)


def positive(text: str) -> int:
    """Return a number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above zero")
    return number


# ---------------------------------------------------------------------------------------------------------------------
# Before the virtual environment
# ---------------------------------------------------------------------------------------------------------------------
def choose(home: Home, arguments: argparse.Namespace) -> Choices:
    """Return what was chosen before, changed by what is chosen now."""
    choices = home.choices()
    for name in ("op_port", "wh_port"):
        setattr(choices, name, getattr(arguments, name, None) or getattr(choices, name))
    for name in ("source", "warehouse"):
        if dsn := getattr(arguments, name, None):
            setattr(choices, name, None if dsn == EMBEDDED else dsn)
    if choices.op_port == choices.wh_port:
        raise Problem(
            f"both instances would listen on port {choices.op_port}", "Give them two ports: --op-port and --wh-port."
        )
    return choices


def go_inside(home: Home, arguments: argparse.Namespace, words: Sequence[str]) -> None:
    """Return inside the virtual environment; outside of it, install what is missing and start again in it."""
    if machine.is_complete(Path(sys.prefix)):
        return
    if arguments.command in INSTALLS:
        choices = choose(home, arguments)
        with home.locked():
            servers = machine.installed()
            is_test = arguments.command == "test"
            with_server = arguments.command in ("bench", "test") or not (choices.source and choices.warehouse)
            if os.geteuid() == 0:
                machine.install_packages(servers, with_server, is_test)
            elif with_server:
                machine.choose(servers)
            machine.make_venv(home)
    elif not machine.works(home.venv):
        raise Problem(f"nothing is installed in {home.path}", "Begin with:  python3 bootstrap.py demo")
    python = str(home.venv / "bin/python")
    environment = {**os.environ, ARGUMENTS: json.dumps(words)}  # not in argv, which every user of the machine can read
    environment.setdefault(STARTED, str(BEGAN))
    sys.stdout.flush()
    os.execve(python, [python, str(machine.ROOT / "bootstrap.py"), arguments.command], environment)


def open_psql(home: Home, arguments: argparse.Namespace) -> int:
    """Become psql on one of the two databases."""
    choices = home.choices()
    external = choices.source if arguments.database == "op" else choices.warehouse
    return psql.become(external or embedded(home, choices, arguments.database).dsn(), *arguments.arguments)


def run_script(home: Home, name: str, arguments: Sequence[str]) -> int:
    """Become a script of backup/, on the warehouse; backups are kept beside the instances unless that is set."""
    choices = home.choices()
    if not choices.warehouse and not embedded(home, choices, "warehouse").exists:
        raise Problem(f"nothing is installed in {home.path}", "Begin with:  python3 bootstrap.py demo")
    machine.forget_libpq_environment()
    os.environ["WAREHOUSE_DSN"] = choices.warehouse or embedded(home, choices, "warehouse").dsn()
    os.environ.setdefault("HEADRACE_BACKUP_DIR", str(home.path / "backups"))
    words = [str(machine.ROOT / "backup" / f"{name}.sh"), *(arguments or {"backup": ["logical", "all"]}.get(name, []))]
    os.execv(words[0], words)


def down(home: Home, arguments: argparse.Namespace) -> int:
    """Stop the embedded instances; delete them if that is wanted."""
    if not home.path.exists():
        print(f"Nothing is installed in {home.path}.")
        return 0
    choices = home.choices()
    if arguments.purge and not arguments.yes:
        if not sys.stdin.isatty():
            raise Problem("down --purge deletes all data and there is nobody to ask", "Add --yes if you mean it.")
        if input(f"Delete both instances in {home.path} with all their data? Type yes: ").strip() != "yes":
            print("Nothing was deleted.")
            return 1
    servers = machine.installed()
    machine.forget_libpq_environment()
    with home.locked():
        if arguments.purge and not choices.warehouse:
            drop_slots(home, choices, servers)
        for name in ("warehouse", "op"):
            instance = embedded(home, choices, name)
            with Stage(f"stop the {instance.name} instance") as stage:
                stage.note = "" if instance.stop(servers) else "was not running"
        if arguments.purge:
            with Stage(f"delete {home.path}") as stage:
                stage.note = home.purge()
    for name, dsn in (("source", choices.source), ("warehouse", choices.warehouse)):
        if dsn:
            print(f"Your own {name} server was left as it is, its jobs and objects included.")
    return 0


def drop_slots(home: Home, choices: Choices, servers: Sequence[machine.Server]) -> None:
    """Leave no slot behind at a source that stays, where it would keep the log for a warehouse that is gone."""
    warehouse = embedded(home, choices, "warehouse")
    if not warehouse.exists:
        return
    with Stage("drop slots at the sources") as stage:
        try:
            warehouse.start(servers)
            own = "" if choices.source else "delete from etl.slot where source = 'op';"  # goes with its instance
            said = psql.run(warehouse.dsn(), "-c", f"{DROP_SLOTS} {own} call etl.drop_slots(); end if; end $$;")
        except Problem as problem:
            said = "\n".join((f"WARNING: {problem}", *problem.way_out.splitlines()))
        stage.note = "" if not said else "see the warnings"
    for line in said.splitlines():
        print(f"  {line}")


def embedded(home: Home, choices: Choices, name: str) -> Instance:
    """Return the embedded instance that the command line calls ``op`` or ``warehouse``."""
    if name == "op":
        return Instance("operational", home, choices.op_port)
    return Instance("warehouse", home, choices.wh_port)


# ---------------------------------------------------------------------------------------------------------------------
# Inside the virtual environment
# ---------------------------------------------------------------------------------------------------------------------
def run_inside(home: Home, arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run a command that needs the packages.

    Raises:
        Problem: something that the user can mend.
    """
    import psycopg

    from db import dashboard, deploy, trial, work

    try:
        if arguments.command == "test":
            return trial.run(machine.installed(), rest)
        if arguments.command == "bench":
            from bench import command

            return command.run(home, rest)
        if arguments.command == "status":
            return work.status(home, arguments.json)
        if arguments.command == "env":
            return work.env(home)
        if arguments.command == "dashboard":
            return dashboard.serve(home, arguments.port, browse=not arguments.no_browser)
        if arguments.command == "alembic":
            return work.alembic(home, rest)
        choices = choose(home, arguments)
        with home.locked():
            if arguments.command == "add-source":
                return work.add_source(home, choices, arguments.name, arguments.dsn)
            if arguments.command == "up":
                return work.up(home, choices)
            started = float(os.environ.get(STARTED, BEGAN))
            return work.demo(home, choices, arguments.rows, arguments.seed, started)
    except psycopg.Error as error:
        raise deploy.explain(error, arguments.command) from None


def run(words: Sequence[str]) -> int:
    """Run the command line.

    Raises:
        Problem: something that the user can mend.
    """
    top = parser()
    arguments, rest = top.parse_known_args(words)
    if arguments.command is None:
        top.print_help()
        return 0
    if rest and arguments.command not in PASSED_ON:
        top.error(f"unknown: {' '.join(rest)}")
    home = Home.find()
    match arguments.command:
        case "psql":
            return open_psql(home, arguments)
        case "down":
            return down(home, arguments)
        case "backup" | "restore" | "verify":
            return run_script(home, arguments.command, rest)
        case _:
            go_inside(home, arguments, words)
            return run_inside(home, arguments, rest)


def main() -> int:
    """Run the command line; say in one line what went wrong, and in the next what to do."""
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    inside = os.environ.pop(ARGUMENTS, None)
    words = json.loads(inside) if inside else sys.argv[1:]
    try:
        return run(words)
    except Problem as problem:
        print(f"headrace: {problem}", file=sys.stderr)
        for line in problem.way_out.splitlines():
            print(f"  {line}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nheadrace: interrupted. Nothing is lost: the same command goes on from here.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        ways = {
            errno.ENOSPC: "The disk is full: free some space, then try again.",
            errno.EACCES: "Run it as the user that $HEADRACE_HOME belongs to, or set another HEADRACE_HOME.",
            errno.EROFS: "Set HEADRACE_HOME to a directory that can be written to.",
        }
        place = f"{error.filename}: " if error.filename else ""
        print(f"headrace: {place}{error.strerror}", file=sys.stderr)
        print(f"  {ways.get(error.errno or 0, 'Mend that, then try again: it goes on from here.')}", file=sys.stderr)
    except Exception as error:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        print(f"headrace: unexpected {type(error).__name__}: {str(error).partition(chr(10))[0]}", file=sys.stderr)
        print("  That is a mistake in this program. HEADRACE_DEBUG=1 shows where it happened.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
