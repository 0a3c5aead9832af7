"""Deploys the warehouse and makes the source known to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
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

from db import psql
from db.home import Home
from db.problem import Problem

ROOT = Path(__file__).resolve().parent.parent
SAMPLE: Mapping[str, Sequence[str]] = {  # columns; the key is id, where there is one
    "public.customers": ("id", "name", "country"),
    "public.products": ("id", "name", "groupname"),
    "public.sales": ("customerid", "productid", "qty"),
}
SOURCE = "op"
SOURCE_ROLE = "headrace_source"
SOURCE_SCRIPT = ROOT / "db/source.sql"
READER = "headrace_reader"
MONITOR = "headrace_monitor"
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


class NoPassword(Problem):
    """A server wants a password, and nothing gives one."""


class NoDsn(Problem):
    """What was given is no DSN of PostgreSQL."""


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
        raise NoDsn(f"that is no DSN of {what}", "Write it as postgresql://user@host:port/database") from None
    with connection:
        yield connection


def refused(error: psycopg.Error, dsn: str, what: str) -> Problem:
    """Return what a failed connection means and what can be done, without the password."""
    parameters = conninfo_to_dict(dsn)
    place = f"{parameters.get('host', 'localhost')}:{parameters.get('port', 5432)}"
    text = str(error).strip().splitlines()[-1]
    if "no password supplied" in text:
        return NoPassword(f"{what} at {place} wants a password", "Put it into the DSN, PGPASSWORD or ~/.pgpass.")
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


def verifier(connection: psycopg.Connection, role: str, password: str) -> str:
    """Return what a server keeps in a password's place, and what may be sent instead of it."""
    return connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()


def accepts(dsn: str) -> bool:
    """Say whether a DSN lets us in."""
    try:
        psycopg.connect(dsn, connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def login_dsn(home: Home, warehouse: str, role: str, embedded: bool) -> str:
    """Return the URL of a role that reads; without a password where somebody else gave it one.

    Args:
        home: where the password is kept.
        warehouse: URL of the administrator.
        role: the reader of ``dwh`` or of the log.
        embedded: whether the warehouse is the embedded one.
    """
    name = f"{'warehouse' if embedded else 'external'}.{role}"
    parameters = {**conninfo_to_dict(warehouse), "user": role}
    parameters["password"] = home.password(name) if home.has_password(name) else None
    return url(parameters)


def give_password(home: Home, warehouse: str, role: str, embedded: bool) -> None:
    """Let a role that reads in by a password of ours, unless it has one of somebody else's."""
    name = f"{'warehouse' if embedded else 'external'}.{role}"
    if home.has_password(name) and accepts(login_dsn(home, warehouse, role, embedded)):
        return
    with connected(warehouse, "the warehouse") as connection:
        if not embedded:
            allowed = connection.execute("select has_table_privilege('pg_catalog.pg_authid', 'select')").fetchone()
            free = "select rolpassword is null from pg_catalog.pg_authid where rolname = %s"
            if allowed != (True,) or connection.execute(free, [role]).fetchone() != (True,):
                return
        secret = sql.Literal(verifier(connection, role, home.password(name)))
        connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), secret))


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
    secret = {}
    if not accepts(reading):
        with connected(dsn, "the operational instance") as connection:
            secret["HEADRACE_SOURCE_PASSWORD"] = verifier(connection, SOURCE_ROLE, password)
    psql.run(dsn, "-f", str(SOURCE_SCRIPT), **secret)
    return reading


def publish(dsn: str, publication: str) -> None:
    """Let the sample's tables be captured by log, as the DBA of another source does by hand; again changes nothing."""
    tables = ", ".join(SAMPLE)
    psql.run(dsn, "-v", f"publication={publication}", "-v", f"tables={tables}", "-f", str(SOURCE_SCRIPT))


def schedule_selling(dsn: str) -> None:
    """Schedule what the files of jobs/operational say, each under its own name."""
    with connected(dsn, "the operational instance") as connection:
        for file in sorted((ROOT / "jobs/operational").glob("*.sql")):
            job = connection.execute(file.read_bytes()).fetchone()
            if job:
                schedule = "select cron.schedule_in_database(%s, %s, %s, current_database(), %s)"
                connection.execute(schedule, [f"headrace:{file.stem}", *job])


def sample_tables(source: str) -> list[str]:
    """Return the sample's tables if the source has them, all three with exactly the sample's columns; else none.

    Raises:
        Problem: they are there and the DSN's user cannot read them.
    """
    with connected(source, "the source") as connection:
        found = connection.execute(
            "select t.name, array_agg(a.attname::text),"
            " has_schema_privilege('public', 'usage') and has_table_privilege(to_regclass(t.name), 'select')"
            " from unnest(%s::text[]) as t (name)"
            " join pg_attribute a on a.attrelid = to_regclass(t.name) and a.attnum > 0 and not a.attisdropped"
            " group by t.name",
            [list(SAMPLE)],
        ).fetchall()
    if {name: sorted(columns) for name, columns, _ in found} != {k: sorted(v) for k, v in SAMPLE.items()}:
        return []
    if locked := sorted(name for name, _, readable in found if not readable):
        user = sql.Identifier(str(conninfo_to_dict(source)["user"])).as_string()
        raise Problem(
            f"{user} may not read {', '.join(locked)} at the source",
            f"Ask its DBA to run this there; db/source.sql does the same for all tables, and makes the role.\n"
            f"grant usage on schema public to {user};\ngrant select on {', '.join(locked)} to {user};",
        )
    return list(SAMPLE)


def add_source(connection: psycopg.Connection, name: str, source: str) -> None:
    """Make a source known to the warehouse, or change how it is reached.

    Args:
        connection: the warehouse's administrator.
        name: what the source is called here.
        source: URL of the role that reads it.

    Raises:
        Problem: the warehouse refuses it.
    """
    parameters = conninfo_to_dict(source)
    options = {k: str(v) for k, v in parameters.items() if k not in NOT_THE_SOURCES}
    try:
        connection.execute(
            "call etl.add_source(source => %s, options => %s, username => %s, password => %s)",
            [name, psycopg.types.json.Jsonb(options), parameters["user"], parameters.get("password")],
        )
    except psycopg.Error as error:
        raise explain(error, "the warehouse does not take the source") from None


def check_place(connection: psycopg.Connection, source: str, embedded: bool) -> None:
    """Refuse to put another database behind tables that are registered already.

    Args:
        connection: the warehouse's administrator.
        source: URL of the role that reads the source.
        embedded: whether it is the embedded one, which may have changed its port.

    Raises:
        Problem: the registered tables are another database's.
    """
    registered = connection.execute(
        "select array_agg(format('%%I.%%I', t.source_schema, t.source_name) order by t.source_table_id),"
        " (select jsonb_object_agg(o.option_name, o.option_value)"
        "  from pg_foreign_server s, pg_options_to_table(s.srvoptions) o where s.srvname = %s)"
        " from etl.source_table t where t.source = %s",
        [SOURCE, SOURCE],
    ).fetchone()
    if not registered or not registered[0]:
        return
    tables, place = registered
    given = conninfo_to_dict(source)
    names = ("host", "dbname") if embedded else ("host", "port", "dbname")
    if any(str(place.get(name)) != str(given.get(name)) for name in names):
        raise Problem(
            f"source {SOURCE} is {place.get('host')}:{place.get('port', 5432)}/{place['dbname']}, and tables of it are"
            f" registered: {', '.join(tables)}",
            "Set another HEADRACE_HOME for a warehouse of its own. Or register it besides, under a name of its own:\n"
            "  python3 bootstrap.py add-source NAME DSN\n"
            f"Or forget those tables first, in  python3 bootstrap.py psql warehouse, each by\n"
            f"  call etl.remove_table('{SOURCE}', …);\n"
            f"If it is the same database at a new address:  python3 bootstrap.py add-source {SOURCE} DSN",
        )


def register(warehouse: str, source: str, publisher: str | None = None) -> list[str]:
    """Make the source known to the warehouse, and the sample's tables if it has them.

    Args:
        warehouse: URL of the warehouse's administrator.
        source: URL of the role that reads the source.
        publisher: URL of the embedded source's administrator, for capture by log; None for other sources.

    Returns:
        The registered tables.

    Raises:
        Problem: the source cannot be read, or the warehouse refuses it.
    """
    tables = sample_tables(source)
    with connected(warehouse, "the warehouse") as connection:
        check_place(connection, source, embedded=publisher is not None)
        add_source(connection, SOURCE, source)
        try:
            known = dict(
                connection.execute(
                    "select source_schema || '.' || source_name, capture from etl.source_table where source = %s",
                    [SOURCE],
                ).fetchall()
            )
            missing = [table for table in tables if table not in known]
            if publisher and any(known.get(table, "log") == "log" for table in tables):
                publish(publisher, *connection.execute("select etl.slot_name('sales')").fetchone() or ())
            for table in missing:
                connection.execute(
                    "call etl.add_table(source => %s, source_table => %s, pipeline => 'sales',"
                    " capture => %s, key => %s)",
                    [SOURCE, table, "log" if publisher else "full", ["id"] if "id" in SAMPLE[table] else None],
                )
        except psycopg.Error as error:
            raise explain(error, "the warehouse does not take the tables") from None
    return tables
