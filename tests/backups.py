"""What the tests of backup and restore share: the scripts of backup/, run as a person or a timer would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from tests.conftest import ROOT
from tests.support import Database, Flow

SCRIPTS = ROOT / "backup"
FAILED, USAGE, REFUSED, BAD, BUSY, RESTART, FINDINGS = 1, 2, 3, 4, 5, 6, 7


@dataclass
class Backups:
    """A directory of backups of one warehouse."""

    directory: Path
    warehouse: Database
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment that the scripts run in."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "HEADRACE_BACKUP"))},
            "WAREHOUSE_DSN": self.warehouse.dsn,
            "HEADRACE_BACKUP_DIR": str(self.directory),
            "HEADRACE_BACKUP_JOBS": "2",
            "HEADRACE_BACKUP_CONF": "/dev/null",
            **self.settings,
            **settings,
        }

    def start(self, script: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a script and return while it works."""
        return subprocess.Popen(
            [SCRIPTS / f"{script}.sh", *arguments],
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, code: int = 0, **settings: str) -> str:
        """Run a script, see it end with a code, and return what it said; no password is ever in that."""
        process = self.start(script, *arguments, **settings)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{script} {arguments} ended with {process.returncode}\n{out}{err}"
        for password in (self.warehouse.server.password, *self.warehouse.server.passwords.values()):
            assert password not in out + err
        return out + err

    def make(self, scope: str = "all") -> str:
        """Make a logical backup and return its name."""
        self.run("backup", "logical", scope)
        return self.names[0]

    @property
    def logical(self) -> Path:
        """Where the logical ones are."""
        return self.directory / "logical"

    @property
    def names(self) -> list[str]:
        """The names of whole logical backups, the newest first."""
        return sorted((path.name for path in self.logical.glob("[0-9]*") if path.is_dir()), reverse=True)

    def left_over(self) -> list[str]:
        """Return what is in the directory besides whole backups."""
        return sorted(path.name for path in self.logical.iterdir() if path.name not in self.names)

    def log(self, kind: str) -> list[str]:
        """Return the outcomes of a kind that the warehouse knows, oldest first."""
        return [
            status
            for (status,) in self.warehouse.query(
                "select status from etl.backup_log where kind = %s order by backup_log_id", [kind]
            )
        ]


def seal(directory: Path) -> None:
    """Write the checksums of a backup anew, as if it had been made the way it is."""
    command = "find . -type f ! -name SHA256SUMS | xargs sha256sum > ../sums && mv ../sums SHA256SUMS"
    subprocess.run(command, shell=True, cwd=directory, check=True)


@contextmanager
def beside(flow: Flow, name: str) -> Iterator[Flow]:
    """Yield the flow to a database of another name on the warehouse's server, which a restore makes."""
    copy = flow.warehouse.server.database(name)
    admin = flow.warehouse.server.database("postgres")
    try:
        yield Flow(flow.operational, copy)
    finally:
        if copy._connection is not None:
            try:
                copy.execute("call etl.drop_slots()")
            finally:
                copy.close()
        admin.connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        admin.close()
