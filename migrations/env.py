"""Alembic's environment: one ``upgrade head`` is the whole deployment.

The revisions and, once they end at head, the files of procedures/ go in one transaction; the files of jobs/ follow
after its commit. A session lock lets one deployment of a database work at a time. Other commands only read or migrate.
"""

from __future__ import annotations

import logging
import os
from logging.config import fileConfig
from typing import Any

import psycopg
from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.pool import NullPool

from db.metadata import PgLsn, metadata
from migrations import procedures
from migrations.script import run

LOCK = "hashtextextended('headrace: deployment', 0)"
SCHEMAS = {"etl", "mrr", "stg", "dwh"}
log = logging.getLogger("alembic.headrace")


def is_ours(name: str | None, kind: str, parents: Any) -> bool:  # noqa: ANN401 - Alembic's mapping
    """Tell whether ``alembic check`` compares a thing: schemas of ours, and in them the tables that revisions own."""
    if kind == "schema":
        return name in SCHEMAS
    if kind == "table":
        return parents["schema_qualified_table_name"] in metadata.tables
    return True


def configure(**options: Any) -> None:  # noqa: ANN401 - passed on to Alembic
    """Configure Alembic's context in the same way for every command."""
    context.configure(
        target_metadata=metadata,
        version_table_schema="public",
        include_schemas=True,
        include_name=is_ours,
        compare_server_default=True,
        on_version_apply=lambda step, **_: steps.append(step),
        **options,
    )


def is_deployment() -> bool:
    """Tell whether the command upgrades, and has come to the head."""
    migration = context.get_context()
    heads = set(ScriptDirectory.from_config(context.config).get_heads())
    reached = set(steps[-1].destination_revision_ids) if steps else set(migration.get_current_heads())
    return command() == "upgrade" and reached == heads


def command() -> str:
    """Return what Alembic was asked to do: upgrade, downgrade, or something that leaves the schema alone."""
    name: str = context.get_context().opts["fn"].__name__
    return name


def connect() -> psycopg.Connection:
    """Connect to the warehouse."""
    dsn = os.environ.get("WAREHOUSE_DSN")
    if not dsn:
        raise CommandError("WAREHOUSE_DSN is not set: it names the warehouse, postgresql://user:password@host:port/database")
    try:
        connection = psycopg.connect(dsn, application_name="headrace deployment", options="-c search_path=pg_catalog,pg_temp")
    except psycopg.Error as error:
        raise CommandError(f"cannot connect to the warehouse that WAREHOUSE_DSN names: {error}") from None
    connection.add_notice_handler(lambda notice: log.info("%s: %s", notice.severity, notice.message_primary))
    return connection


def run_offline() -> None:
    """Print everything as SQL that psql can run."""
    configure(dialect_name="postgresql")
    with context.begin_transaction():
        context.run_migrations()
        if is_deployment():
            run(procedures.script(), context.get_context())


def run_online() -> None:
    """Migrate, and deploy."""
    with create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool).connect() as connection:
        configure(connection=connection)
        if command() in ("upgrade", "downgrade"):
            connection.exec_driver_sql(f"select pg_advisory_lock({LOCK})")
            connection.commit()
        with context.begin_transaction():
            context.run_migrations()
            if is_deployment():
                driver = connection.connection.driver_connection
                count = procedures.deploy(driver, everything=bool(steps))
                log.info("Deployed %s files of procedures/", count)


steps: list[Any] = []
ischema_names["pg_lsn"] = PgLsn
if context.config.cmd_opts and context.config.config_file_name:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
if context.is_offline_mode():
    run_offline()
else:
    run_online()
