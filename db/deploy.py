"""Deploys the warehouse and makes the source known to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import alembic.command
import alembic.config
import alembic.util
import psycopg
import sqlalchemy.exc
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from db.home import Home
from db.problem import Problem

ROOT = Path(__file__).resolve().parent.parent
SAMPLE: Mapping[str, list[str] | None] = {"public.customers": ["id"], "public.products": ["id"], "public.sales": None}
SOURCE = "op"
SOURCE_ROLE = "headrace_source"
READER = "headrace_reader"
OLDEST_SOURCE = 130000
OLDEST_WAREHOUSE = 150000
TLS = {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"}  # kept also where the environment sets them
NOT_KEPT = {"passfile", "service"}  # what they say is in the URL by then
NOT_THE_SOURCES = {"user", "password", "application_name", "client_encoding", "options"}


# ---------------------------------------------------------------------------------------------------------------------
# Connections
# ---------------------------------------------------------------------------------------------------------------------
def url(parameters: Mapping[str, Any]) -> str:
    """Return libpq's parameters as a URL, which every tool can read."""
    rest = {k: v for k, v in parameters.items() if k not in {"user", "password", "host", "port", "dbname"}}
    person = quote(str(parameters["user"]), safe="")
    if password := parameters.get("password"):
        person += f":{quote(str(password), safe='')}"
    host = str(parameters.get("host", "localhost"))
    place = f"{f'[{host}]' if ':' in host else quote(host, safe='.,')}:{parameters.get('port', 5432)}"
    return f"postgresql://{person}@{place}/{quote(str(parameters['dbname']), safe='')}" + (
        f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    )


@contextlib.contextmanager
def connected(dsn: str, what: str) -> Iterator[psycopg.Connection]:
    """Connect, in autocommit.

    Args:
        dsn: where to.
        what: what is there, for the message.

    Raises:
        Problem: it cannot be reached, or does not let us in.
    """
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="bootstrap.py")
    except psycopg.OperationalError as error:
        raise refused(error, dsn, what) from None
    except psycopg.ProgrammingError:  # its text repeats the DSN
        raise Problem(f"that is no DSN of {what}", "Write it as postgresql://user@host:port/database") from None
    with connection:
        yield connection


def refused(error: psycopg.Error, dsn: str, what: str) -> Problem:
    """Return what a failed connection means and what can be done, without the password."""
    parameters = conninfo_to_dict(dsn)
    place = f"{parameters.get('host', 'localhost')}:{parameters.get('port', 5432)}"
    text = str(error).strip().splitlines()[-1]
    if "password" in text:
        return Problem(
            f"{what} at {place} does not accept the password of {parameters.get('user')}",
            "Put the right one into the DSN, PGPASSWORD or ~/.pgpass. An embedded instance's passwords are the files in"
            " $HEADRACE_HOME/secrets.",
        )
    return Problem(
        f"{what} at {place} cannot be reached: {text.partition('failed: ')[2] or text}",
        "Check that it runs and that a firewall or its pg_hba.conf does not keep this machine out.",
    )


def resolve(dsn: str, what: str, oldest: int) -> str:
    """Return a user's DSN as a whole URL, with what libpq takes from the environment, .pgpass and service files.

    Raises:
        Problem: it cannot be reached, is too old, or is a standby.
    """
    with connected(dsn, what) as connection:
        info = connection.info
        if info.server_version < oldest:
            raise Problem(
                f"{what} at {info.host}:{info.port} is PostgreSQL {info.server_version // 10000}, too old",
                f"Headrace needs {oldest // 10000} or newer there.",
            )
        if connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
            raise Problem(f"{what} at {info.host}:{info.port} is a standby", "Name its primary.")
        kept = {*conninfo_to_dict(dsn), *TLS} - NOT_KEPT
        used = {option.keyword.decode(): option.val.decode() for option in connection.pgconn.info if option.val}
        return url(
            {k: v for k, v in used.items() if k in kept and (k, v) != ("sslmode", "prefer")}
            | {
                "host": info.host,
                "port": info.port,
                "dbname": info.dbname,
                "user": info.user,
                "password": info.password,
            }
        )


# ---------------------------------------------------------------------------------------------------------------------
# Warehouse
# ---------------------------------------------------------------------------------------------------------------------
def deploy(dsn: str) -> None:
    """Bring the warehouse to the head: revisions, procedures, jobs.

    Raises:
        Problem: the deployment was rolled back; says why.
    """
    before = os.environ.get("WAREHOUSE_DSN")
    os.environ["WAREHOUSE_DSN"] = dsn
    try:
        alembic.command.upgrade(alembic.config.Config(ROOT / "alembic.ini"), "head")
    except alembic.util.CommandError as error:
        what, *more = str(error).splitlines()
        raise Problem(f"deployment: {what}", "\n".join(more)) from None
    except sqlalchemy.exc.DBAPIError as error:
        raise explain(error.orig, "deployment") from None
    finally:
        if before is None:
            del os.environ["WAREHOUSE_DSN"]
        else:
            os.environ["WAREHOUSE_DSN"] = before


def explain(error: BaseException | None, where: str) -> Problem:
    """Return a database error in its own words: message, detail and hint."""
    if not isinstance(error, psycopg.Error):
        return Problem(f"{where}: {error}")
    diagnostic = error.diag
    message = diagnostic.message_primary or (str(error).strip().splitlines() or [type(error).__name__])[0]
    code = f" ({error.sqlstate})" if error.sqlstate else ""
    more = [line for line in (diagnostic.message_detail, diagnostic.message_hint) if line]
    if isinstance(error, psycopg.errors.DiskFull):
        more.append("Free some space on the server's disk, then try again: nothing half done was kept.")
    return Problem(f"{where}: {message}{code}", "\n".join(more))


def set_password(connection: psycopg.Connection, role: str, password: str) -> None:
    """Give a role a password; only its SCRAM verifier is sent."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier)))


def accepts(dsn: str) -> bool:
    """Say whether a DSN lets us in."""
    try:
        psycopg.connect(dsn, connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def reader_dsn(home: Home, warehouse: str, embedded: bool) -> str:
    """Return the URL of the warehouse's reader; without a password where somebody else gave it one.

    Args:
        home: where the password is kept.
        warehouse: URL of the administrator.
        embedded: whether the warehouse is the embedded one.
    """
    name = f"warehouse.{READER}" if embedded else f"external.{READER}"
    parameters = {**conninfo_to_dict(warehouse), "user": READER}
    parameters["password"] = home.password(name) if home.has_password(name) else None
    return url(parameters)


def give_reader_password(home: Home, warehouse: str, embedded: bool) -> None:
    """Let the reader in by a password of ours, unless it has one of somebody else's."""
    name = f"warehouse.{READER}" if embedded else f"external.{READER}"
    if home.has_password(name) and accepts(reader_dsn(home, warehouse, embedded)):
        return
    with connected(warehouse, "the warehouse") as connection:
        if not embedded:
            allowed = connection.execute("select has_table_privilege('pg_catalog.pg_authid', 'select')").fetchone()
            free = "select rolpassword is null from pg_catalog.pg_authid where rolname = %s"
            if allowed != (True,) or connection.execute(free, [READER]).fetchone() != (True,):
                return
        set_password(connection, READER, home.password(name))


# ---------------------------------------------------------------------------------------------------------------------
# Source
# ---------------------------------------------------------------------------------------------------------------------
def make_operational(dsn: str) -> None:
    """Make the sample operational database's tables and routines, and let jobs run in it."""
    with connected(dsn, "the operational instance") as connection:
        connection.execute("create extension if not exists pg_cron")
        for file in sorted((ROOT / "db/operational").glob("*.sql"), key=lambda file: file.stem != "schema"):
            connection.execute(file.read_bytes())


def make_source_role(home: Home, dsn: str) -> str:
    """Do at the embedded source what the DBA of another one does by hand; return the role's URL."""
    password = home.password(f"operational.{SOURCE_ROLE}")
    reading = url({**conninfo_to_dict(dsn), "user": SOURCE_ROLE, "password": password})
    with connected(dsn, "the operational instance") as connection:
        connection.execute((ROOT / "db/source.sql").read_bytes())
        if not accepts(reading):
            set_password(connection, SOURCE_ROLE, password)
    return reading


def schedule_selling(dsn: str) -> None:
    """Schedule what the files of jobs/operational say, each under its own name."""
    with connected(dsn, "the operational instance") as connection:
        for file in sorted((ROOT / "jobs/operational").glob("*.sql")):
            job = connection.execute(file.read_bytes()).fetchone()
            if job:
                schedule = "select cron.schedule_in_database(%s, %s, %s, current_database(), %s)"
                connection.execute(schedule, [f"headrace:{file.stem}", *job])


def readable_tables(source: str) -> list[str]:
    """Return those of the sample's tables that are at the source, readable by the DSN's user.

    Raises:
        Problem: one is there and cannot be read.
    """
    with connected(source, "the source") as connection:
        rows = connection.execute(
            "select t.name,"
            " has_schema_privilege('public', 'usage') and has_table_privilege(to_regclass(t.name), 'select')"
            " from unnest(%s::text[]) as t (name) where to_regclass(t.name) is not null",
            [list(SAMPLE)],
        ).fetchall()
    if locked := [name for name, readable in rows if not readable]:
        raise Problem(
            f"{conninfo_to_dict(source)['user']} may not read {', '.join(locked)} at the source",
            "Ask its DBA to run this there:\n" + (ROOT / "db/source.sql").read_text(),
        )
    return [name for name, _ in rows]


def register(warehouse: str, source: str) -> list[str]:
    """Make the source known to the warehouse, and those of the sample's tables that it has.

    Args:
        warehouse: URL of the warehouse's administrator.
        source: URL of the role that reads the source.

    Returns:
        The registered tables.

    Raises:
        Problem: the source cannot be read, or the warehouse refuses it.
    """
    tables = readable_tables(source)
    parameters = conninfo_to_dict(source)
    options = {k: str(v) for k, v in parameters.items() if k not in NOT_THE_SOURCES}
    with connected(warehouse, "the warehouse") as connection:
        try:
            connection.execute(
                "call etl.add_source(source => %s, options => %s, username => %s, password => %s)",
                [SOURCE, psycopg.types.json.Jsonb(options), parameters["user"], parameters.get("password")],
            )
            known = connection.execute(
                "select source_schema || '.' || source_name from etl.source_table where source = %s", [SOURCE]
            ).fetchall()
            for table in tables:
                if (table,) not in known:
                    connection.execute(
                        "call etl.add_table(source => %s, source_table => %s, pipeline => 'sales', key => %s)",
                        [SOURCE, table, SAMPLE[table]],
                    )
        except psycopg.Error as error:
            raise explain(error, "the warehouse does not take the source") from None
    return tables
