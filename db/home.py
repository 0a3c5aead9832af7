"""$HEADRACE_HOME: where instances, passwords and choices are kept; standard library alone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from db.problem import Problem

NEEDED_BYTES = 700 * 1024 * 1024


@dataclass
class Choices:
    """What the user chose and a later command must know. A DSN that is set replaces the embedded instance."""

    op_port: int = 54321
    wh_port: int = 54322
    source: str | None = None
    warehouse: str | None = None


def write_private(file: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    new.replace(file)


class Home:
    """The directory that holds all state of this installation."""

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is made yet."""
        self.path = path
        self.venv = path / "venv"
        self._choices = path / "choices.json"
        self._secrets = path / "secrets"

    @classmethod
    def find(cls) -> Home:
        """Return the home that ``$HEADRACE_HOME`` names, or the default one of this user."""
        default = "/var/lib/headrace" if os.geteuid() == 0 else "~/.local/share/headrace"
        return cls(Path(os.environ.get("HEADRACE_HOME") or default).expanduser().absolute())

    def prepare(self) -> None:
        """Make the directory.

        Raises:
            Problem: it cannot be made or written.
        """
        try:
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            (self.path / "lock").touch(mode=0o600)
        except OSError as error:
            raise Problem(
                f"cannot write to {self.path}: {error.strerror}",
                "Set HEADRACE_HOME to a directory that you can write to, on a disk with 1 GB free.",
            ) from None

    def check_room(self) -> None:
        """Refuse to fill a disk.

        Raises:
            Problem: less is free than a new installation takes.
        """
        free = shutil.disk_usage(self.path).free
        if free < NEEDED_BYTES:
            raise Problem(
                f"disk full: {free // 2**20} MB free at {self.path}, {NEEDED_BYTES // 2**20} MB needed",
                "Free some space, or set HEADRACE_HOME to a directory on another disk.",
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands that change this home out until the block ends.

        Raises:
            Problem: another one is at work.
        """
        self.prepare()
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Problem(
                    f"another bootstrap.py is at work in {self.path}", "Wait until it has ended, then try again."
                ) from None
            yield

    def choices(self) -> Choices:
        """Return what was chosen before, or the defaults."""
        try:
            kept = json.loads(self._choices.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return Choices()
        except PermissionError:
            raise Problem(
                f"{self.path} belongs to another user", "Run the command as that user, or set HEADRACE_HOME."
            ) from None
        return Choices(**{field.name: kept[field.name] for field in fields(Choices) if field.name in kept})

    def keep(self, choices: Choices) -> None:
        """Remember the choices. The DSNs among them hold passwords."""
        write_private(self._choices, json.dumps(asdict(choices), indent=2))

    def password(self, name: str) -> str:
        """Return the password kept under a name; the first call makes it."""
        file = self._secrets / name
        if not file.exists():
            self._secrets.mkdir(mode=0o700, exist_ok=True)
            write_private(file, secrets.token_urlsafe(24))
        return file.read_text()

    def has_password(self, name: str) -> bool:
        """Say whether a password is kept under a name."""
        return (self._secrets / name).exists()

    def purge(self) -> str:
        """Delete what this program made here, and the directory too if nothing else is in it; say if backups are."""
        for name in ("operational", "warehouse", "secrets", "venv", "bench", "dbt"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for file in (self._choices, self.path / "lock", self.path / "dbt.lock"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()
        return "backups are kept" if (self.path / "backups").exists() else ""
