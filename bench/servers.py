"""Two durable instances that exist while something is measured, with the settings of the embedded ones."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from db import machine
from db.home import Home
from db.instance import Instance, free_port
from db.problem import Problem

PREFIX = "instances-"
SQL = Path(__file__).resolve().parent / "sql"


def text(name: str) -> str:
    """Return a file of bench/sql."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Pair:
    """The operational and the warehouse instance."""

    home: Home
    operational: Instance
    warehouse: Instance
    server: machine.Server

    @property
    def both(self) -> tuple[Instance, Instance]:
        """The two instances."""
        return self.operational, self.warehouse

    def source(self, database: str) -> str:
        """Return the URL of a database of the operational instance, for its administrator."""
        return urlsplit(self.operational.dsn())._replace(path=f"/{database}").geturl()

    def target(self, database: str) -> str:
        """Return the URL of a database of the warehouse instance, for its administrator."""
        return urlsplit(self.warehouse.dsn())._replace(path=f"/{database}").geturl()

    def create(self, dsn: str, work_mem: str | None = None) -> str:
        """Make a database anew, with ``work_mem`` of its own if it is given, and return its URL."""
        self.drop(dsn)
        with administrator(dsn) as (connection, name):
            connection.execute(sql.SQL("create database {} template template0").format(name))
            if work_mem:
                connection.execute(sql.SQL("alter database {} set work_mem = {}").format(name, sql.Literal(work_mem)))
        return dsn

    def drop(self, dsn: str) -> None:
        """Drop a database with whoever is connected, and the slots of its subscriptions or its own."""
        with administrator(dsn) as (connection, name):
            connection.execute(
                "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots"
                " where database = %s and active",
                [name.as_string(connection).strip('"')],
            )
            connection.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s",
                [name.as_string(connection).strip('"')],
            )
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))

    def drop_slots(self, like: str) -> None:
        """Drop slots at the source by a pattern of their names: those of a warehouse that goes."""
        with psycopg.connect(self.operational.dsn(), autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots"
                " where slot_name like %s and active",
                [like],
            )
            connection.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name like %s", [like]
            )

    def settle(self) -> None:
        """Write out what earlier work left in memory, so that the next measurement does not pay for it."""
        for instance in self.both:
            with psycopg.connect(instance.dsn(), autocommit=True) as connection:
                connection.execute("checkpoint")


@contextlib.contextmanager
def administrator(dsn: str) -> Iterator[tuple[psycopg.Connection, sql.Identifier]]:
    """Connect to the database ``postgres`` beside another one, whose name is given too."""
    parts = urlsplit(dsn)
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as connection:
        yield connection, sql.Identifier(parts.path.lstrip("/"))


def destroy(home: Home, instances: Sequence[Instance], servers: Sequence[machine.Server]) -> None:
    """Stop the instances at once, writing nothing out, and delete their home."""
    for instance in instances:
        with contextlib.suppress(Problem):
            replace(instance, throwaway=True).stop(servers)
    shutil.rmtree(home.path, ignore_errors=True)


def sweep(directory: Path, servers: Sequence[machine.Server]) -> None:
    """Delete what benchmarks left that were killed hard: their homes are not locked any more."""
    for path in directory.glob(f"{PREFIX}*"):
        home = Home(path)
        with contextlib.suppress(Problem, OSError), home.locked():
            destroy(home, [Instance(name, home, 0) for name in ("warehouse", "operational")], servers)


@contextlib.contextmanager
def pair(directory: Path, servers: Sequence[machine.Server]) -> Iterator[Pair]:
    """Start both instances in a directory of their own, and take all of it away at the end, whatever happens."""
    sweep(directory, servers)
    home = Home(Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory)))
    home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    operational = Instance("operational", home, free_port())
    warehouse = Instance("warehouse", home, free_port())
    with home.locked():
        try:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda instance: instance.start(servers), (operational, warehouse)))
            yield Pair(home, operational, warehouse, warehouse.server(servers))
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            destroy(home, (operational, warehouse), servers)
