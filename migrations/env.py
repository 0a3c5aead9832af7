"""Alembic's environment: one ``upgrade head`` is the whole deployment.

The revisions and, once they end at head, procedures/ and the dashboard's page go in one transaction; the layout on a
cluster and the files of jobs/ follow after its commit. A session lock lets one deployment of a database work at a time.
Other commands only read or migrate.
"""

from __future__ import annotations

import logging
import os
from logging.config import fileConfig
from typing import Any, cast

import psycopg
from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from db.metadata import PgLsn, metadata
from migrations import dashboard, jobs, procedures, roles
from migrations.script import AS_ADMIN, AS_OWNER, run

LOCK = "select pg_advisory_lock(hashtextextended('headrace: deployment', 0));"
TRY_LOCK = LOCK.replace("pg_advisory_lock", "pg_try_advisory_lock")
# What a first deployment makes reaches the other nodes of a cluster with the tables that are distributed after it:
# before its commit they would refuse the new owner. Later ones change what is there. Elsewhere it sets nothing.
ALONE = "set local citus.enable_ddl_propagation = off;"
# After the commit, because other nodes of a cluster see a new role only then.
LAYOUT = """
do $$ declare v_setting record; begin
  if exists (select from pg_extension where extname = 'citus') then
    execute format('grant create, connect on database %I to headrace_owner', current_database());
    for v_setting in -- rows are compared by their text form, on other nodes in sessions of the owner
      select s.name, s.value
      from (values ('datestyle', 'ISO'), ('intervalstyle', 'postgres'), ('timezone', 'UTC'),
                   ('extra_float_digits', '1'), ('bytea_output', 'hex'),
                   ('xmlbinary', 'base64'), ('xmloption', 'content')) s (name, value)
    loop
      execute format('alter role headrace_owner set %I = %L', v_setting.name, v_setting.value);
    end loop;
  end if;
  if to_regprocedure('etl.apply_layout()') is not null then
    call etl.apply_layout();
  end if;
end $$;"""
DROP_VERSION = "drop table public.alembic_version;"
CHANGING = ("upgrade", "downgrade")
SCHEMAS = {"etl", "mrr", "stg", "dwh"}
log = logging.getLogger("alembic.headrace")
steps: list[Any] = []  # the revisions that this command has run


def is_ours(name: str | None, kind: str, parents: Any) -> bool:
    """Tell whether ``alembic check`` compares a thing: schemas of ours, and in them the tables that revisions own."""
    if kind == "schema":
        return name in SCHEMAS
    if kind == "table":
        return parents["schema_qualified_table_name"] in metadata.tables
    return True


def configure(**options: Any) -> None:
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
    return command() == "upgrade" and reached() == set(ScriptDirectory.from_config(context.config).get_heads())


def is_removal() -> bool:
    """Tell whether the command has taken the last revision back."""
    return command() == "downgrade" and not reached()


def reached() -> set[str]:
    """Return the revisions that the database is at, or will be after the printed script."""
    return set(steps[-1].destination_revision_ids if steps else context.get_context().get_current_heads())


def command() -> str:
    """Return what Alembic was asked to do: upgrade, downgrade, or something that leaves the schema alone."""
    name: str = context.get_context().opts["fn"].__name__
    return name


def connect(*, autocommit: bool = False, **options: Any) -> psycopg.Connection:
    """Connect to the warehouse's database, or to another one of its cluster."""
    dsn = os.environ.get("WAREHOUSE_DSN")
    try:
        parts: dict[str, Any] = conninfo_to_dict(dsn or "", application_name="headrace deployment", **options)
    except psycopg.Error:
        dsn = None  # what libpq says of it may hold the password
    if not dsn:
        raise CommandError("WAREHOUSE_DSN must name the warehouse: postgresql://user:password@host:port/database")
    parts["options"] = f"{parts.get('options') or ''} -c search_path=pg_catalog,pg_temp"
    try:
        connection = psycopg.connect(**parts, autocommit=autocommit)
    except psycopg.Error as error:
        raise CommandError(f"cannot connect to database {parts.get('dbname')}: {error}") from None
    connection.add_notice_handler(show)
    return connection


def show(notice: psycopg.errors.Diagnostic) -> None:
    """Log what the server says besides results."""
    level = logging.WARNING if notice.severity_nonlocalized == "WARNING" else logging.INFO
    log.log(level, "%s: %s", notice.severity, " ".join(filter(None, (notice.message_primary, notice.message_hint))))


def connect_scheduler(warehouse: psycopg.Connection) -> psycopg.Connection:
    """Connect to the database that pg_cron lives in, or once more to the warehouse where that is not known."""
    ((place,),) = warehouse.execute(jobs.PLACE).fetchall()
    try:
        return connect(autocommit=True, dbname=place or warehouse.info.dbname)
    except CommandError as error:
        log.warning("WARNING: pg_cron lives elsewhere: %s", error)
        return connect(autocommit=True)


def deploy(migration: MigrationContext, *, everything: bool) -> None:
    """Bring procedures/, dashboard/web/ and jobs/ into the database, within the open transaction."""
    run(AS_OWNER, migration)
    procedures.deploy(migration, everything=everything)
    dashboard.deploy(migration, everything=everything)
    jobs.declare(migration)
    run(AS_ADMIN, migration)


def apply_layout(warehouse: psycopg.Connection) -> None:
    """Bring the tables to their nodes, where the warehouse is a cluster."""
    try:
        warehouse.execute(LAYOUT)
        warehouse.commit()
    except psycopg.Error as error:
        raise CommandError(f"the warehouse is deployed, but its tables are not distributed: {error}") from None


def run_offline() -> None:
    """Print everything as SQL that psql can run."""
    configure(dialect_name="postgresql")
    migration = context.get_context()
    if command() in CHANGING:
        run(LOCK, migration)
    with context.begin_transaction():
        if not migration.get_current_heads():
            run(ALONE, migration)
        elif command() == "upgrade":
            roles.mend(migration)
        if command() == "downgrade" and not context.get_revision_argument():
            run(jobs.NONE + jobs.SYNCHRONISE + AS_ADMIN, migration)
        context.run_migrations()
        if is_deployment():
            deploy(migration, everything=True)
        elif is_removal():
            run(DROP_VERSION, migration)
    if is_deployment():
        run(LAYOUT + jobs.DECLARED + jobs.SYNCHRONISE + jobs.RECORD, migration)


def run_online() -> None:
    """Migrate, and deploy."""
    with create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool).connect() as connection:
        configure(connection=connection)
        migration = context.get_context()
        driver = cast("psycopg.Connection", connection.connection.driver_connection)
        if command() in CHANGING:
            if not connection.exec_driver_sql(TRY_LOCK).scalar():
                log.info("Another deployment of this database is at work: waiting for it")
                connection.exec_driver_sql(LOCK)
            connection.commit()
        with context.begin_transaction():
            warehouse_id = jobs.identify(driver) if command() == "downgrade" else None
            if not migration.get_current_heads():
                run(ALONE, migration)
            mended = command() == "upgrade" and bool(migration.get_current_heads()) and roles.mend(migration)
            context.run_migrations()
            if is_deployment():
                deploy(migration, everything=bool(steps) or mended)
            elif is_removal():
                run(DROP_VERSION, migration)
                if warehouse_id:
                    with connect_scheduler(driver) as scheduler:
                        jobs.unschedule(warehouse_id, scheduler)
        if is_deployment():
            apply_layout(driver)
            with connect_scheduler(driver) as scheduler:
                jobs.synchronise(driver, scheduler)


ischema_names["pg_lsn"] = PgLsn
if context.config.cmd_opts and context.config.config_file_name:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
try:
    if context.is_offline_mode():
        run_offline()
    else:
        run_online()
except DBAPIError as failure:
    raise CommandError(f"{failure.orig}\nEverything was rolled back.") from None
