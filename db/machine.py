"""What the machine must have: server packages, an operating system user, a virtual environment.

Standard library alone: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.home import Home
from db.problem import Problem
from db.stage import Stage

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OS_USER = "headrace"
OLDEST = 15
# Extension and the end of its Debian package's name; none where it comes with the server.
EXTENSIONS = {
    "pg_cron": "-cron",
    "plpgsql_check": "-plpgsql-check",
    "postgres_fdw": "",
    "dblink": "",
    "btree_gist": "",
    "pgcrypto": "",
}
# What only tests need: programs and their packages, extensions and the ends of their packages' names.
TEST_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "chromium": ("chromium",),
    "ip": ("iproute2",),
    "mariadb": ("mariadb-client-core",),
    "mariadbd": ("mariadb-server-core",),
    "mcs": ("mono-mcs", "mono-runtime", "libmono-system-data4.0-cil", "libmono-system-runtime-serialization4.0-cil"),
    "pgbackrest": ("pgbackrest",),
    "shellcheck": ("shellcheck",),
}
TEST_EXTENSIONS = {"mysql_fdw": "-mysql-fdw", "tds_fdw": "-tds-fdw"}


@dataclass(frozen=True)
class Server:
    """An installed PostgreSQL."""

    version: int
    bin: Path
    extensions: frozenset[str]

    @property
    def missing(self) -> list[str]:
        """Extensions that Headrace uses and this server lacks."""
        return [name for name in EXTENSIONS if name not in self.extensions]


def forget_libpq_environment() -> None:
    """Drop the user's PGHOST, PGSSLMODE and so on: whole URLs say where from here on, and these would mix in."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


# ---------------------------------------------------------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------------------------------------------------------
def ask(*command: str | Path) -> str:
    """Return what a command prints, empty where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def inspect(bin_dir: Path) -> Server | None:
    """Return the server in a directory of programs, if there is a whole one."""
    version = re.search(r"\) (\d+)", ask(bin_dir / "postgres", "--version"))
    if not version or not (bin_dir / "initdb").exists():
        return None
    share = ask(bin_dir / "pg_config", "--sharedir") or f"/usr/share/postgresql/{version[1]}"
    return Server(int(version[1]), bin_dir, frozenset(file.stem for file in Path(share, "extension").glob("*.control")))


def installed() -> list[Server]:
    """Return every PostgreSQL on this machine, the newest first."""
    places = {*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")}
    if program := shutil.which("postgres"):
        places.add(Path(program).resolve().parent)
    return sorted(filter(None, map(inspect, places)), key=lambda server: server.version, reverse=True)


def choose(servers: Sequence[Server]) -> Server:
    """Return the newest server that has all that Headrace uses.

    Args:
        servers: what is installed, the newest first.

    Raises:
        Problem: there is none; says what is missing.
    """
    for server in servers:
        if server.version >= OLDEST and not server.missing:
            return server
    if not servers:
        raise Problem(
            "PostgreSQL is not installed on this machine",
            f"Ask its administrator for {', '.join(packages(OLDEST))} (or a newer version's), or run this as root.",
        )
    newest = servers[0]
    if newest.version < OLDEST:
        raise Problem(
            f"PostgreSQL {newest.version} in {newest.bin} is too old: Headrace needs {OLDEST} or newer",
            f"Ask the administrator for {', '.join(packages(OLDEST))} (or a newer version's), or run this as root.",
        )
    wanted = sorted({f"postgresql-{newest.version}{EXTENSIONS[name]}" for name in newest.missing})
    raise Problem(
        f"PostgreSQL {newest.version} in {newest.bin} lacks {', '.join(newest.missing)}",
        f"Ask the administrator for the package {', '.join(wanted)}, or run this as root.",
    )


def packages(version: int) -> list[str]:
    """Return Debian's packages of a PostgreSQL version with all that Headrace uses."""
    return list(dict.fromkeys(f"postgresql-{version}{suffix}" for suffix in ["", *EXTENSIONS.values()]))


def test_extensions(server: Server) -> list[str]:
    """Return the packages of extensions that only tests need and a server lacks."""
    return [f"postgresql-{server.version}{s}" for name, s in TEST_EXTENSIONS.items() if name not in server.extensions]


# ---------------------------------------------------------------------------------------------------------------------
# Packages
# ---------------------------------------------------------------------------------------------------------------------
def apt(*arguments: str) -> None:
    """Run apt-get without a question.

    Raises:
        Problem: it failed; says with which words.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=120", "--option", "Dpkg::Use-Pty=0", *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.startswith(("E:", "dpkg: error", "W: Failed"))]
        raise Problem(
            f"apt-get {arguments[0]} failed: {(said or done.stdout.splitlines() or ['no message'])[0]}",
            f"Run it yourself to see the whole of it: apt-get {' '.join(arguments)}",
        )


def offered() -> list[int]:
    """Return the PostgreSQL versions that apt has with every package Headrace uses, the newest first."""
    names = set(ask("apt-cache", "pkgnames", "postgresql-").splitlines())
    versions = (int(name[11:]) for name in names if re.fullmatch(r"postgresql-\d+", name))
    return sorted((v for v in versions if v >= OLDEST and names.issuperset(packages(v))), reverse=True)


@contextlib.contextmanager
def no_service() -> Iterator[None]:
    """While packages are installed, keep them from making a cluster and from starting or restarting any service.

    Both means are what Debian offers for it, and both are taken away again: a file that createcluster.conf includes,
    and policy-rc.d, unless the machine has one of its own that forbids already.
    """
    forbidden = (
        "#!/bin/sh\n# Made by bootstrap.py of Headrace while it installs packages, and deleted after.\nexit 101\n"
    )
    cluster = Path("/etc/postgresql-common/createcluster.d/headrace.conf")
    policy = Path("/usr/sbin/policy-rc.d")
    aside = policy.with_name("policy-rc.d.headrace-aside")
    own = not policy.exists() or policy.read_text(errors="replace") == forbidden
    try:
        if not own:
            policy.rename(aside)
        policy.write_text(forbidden)
        policy.chmod(0o755)
        cluster.parent.mkdir(parents=True, exist_ok=True)
        cluster.write_text("create_main_cluster = off\n")
        yield
    finally:
        cluster.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            cluster.parent.rmdir()
        policy.unlink(missing_ok=True)
        if aside.exists():
            aside.rename(policy)


def install_packages(servers: Sequence[Server], with_server: bool, for_tests: bool = False) -> None:
    """As root, let apt install what is missing; nothing that is installed is upgraded.

    Args:
        servers: what is installed, the newest first.
        with_server: whether the command runs servers of its own.
        for_tests: whether the programs and extensions that only tests need are wanted too.

    Raises:
        Problem: something is missing and apt cannot bring it.
    """
    wanted = [] if ask(sys.executable, "-c", "import ensurepip; print(1)") else ["python3-venv"]
    for program, packages_of_it in TEST_PROGRAMS.items():
        wanted += packages_of_it if for_tests and not shutil.which(program) else ()
    complete = any(server.version >= OLDEST and not server.missing for server in servers)
    lacks_server = with_server and not complete
    if for_tests and complete:
        wanted += test_extensions(choose(servers))
    if not wanted and not lacks_server:
        return
    if not shutil.which("apt-get"):
        if lacks_server:
            choose(servers)
        raise Problem(f"{', '.join(wanted)} missing, and there is no apt-get here", "Install it, then try again.")
    with Stage("packages") as stage, no_service():
        if not offered():
            apt("update")
        if lacks_server:
            versions = offered()
            if not versions:
                raise Problem(
                    f"apt offers no PostgreSQL >= {OLDEST} with pg_cron and plpgsql_check",
                    "Use Debian 12 or newer, or add the PostgreSQL project's own package source (apt.postgresql.org).",
                )
            present = [server.version for server in servers if server.version in versions]
            version = (present or versions)[0]
            wanted += packages(version)
            wanted += [f"postgresql-{version}{suffix}" for suffix in TEST_EXTENSIONS.values() if for_tests]
        arguments = ("install", "--yes", "--no-install-recommends", "--no-upgrade", *wanted)
        stage.note = ", ".join(wanted)
        try:
            apt(*arguments)
        except Problem:
            apt("update")  # the lists may be older than the mirror
            apt(*arguments)


def install_package(name: str) -> None:
    """As root, let apt install one package more.

    Raises:
        Problem: it cannot.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Problem(f"{name} is not installed", "Ask the machine's administrator for it.")
    with no_service():
        apt("install", "--yes", "--no-install-recommends", "--no-upgrade", name)


# ---------------------------------------------------------------------------------------------------------------------
# Operating system user
# ---------------------------------------------------------------------------------------------------------------------
MAKING_USER = threading.Lock()  # two useradd at once make two users of one name


def os_user() -> pwd.struct_passwd | None:
    """Return the user that runs the servers when this is root, made if missing; None means: as ourselves.

    Raises:
        Problem: it cannot be made.
    """
    if os.geteuid() != 0:
        return None
    with MAKING_USER:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(OS_USER)
        made = subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
             "--shell", "/usr/sbin/nologin", OS_USER],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Problem(f"cannot make the user {OS_USER}: {made.stderr.strip()}", f"Make a system user {OS_USER}.")
        return pwd.getpwnam(OS_USER)


# ---------------------------------------------------------------------------------------------------------------------
# Virtual environment
# ---------------------------------------------------------------------------------------------------------------------
def stamp(lock: Path = LOCK) -> str:
    """Return what a virtual environment of this checkout is known by: the hash of its lock file."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def is_complete(prefix: Path, lock: Path = LOCK) -> bool:
    """Say whether a directory holds the virtual environment of one of this checkout's lock files."""
    file = prefix / "headrace.stamp"
    return file.exists() and file.read_text() == stamp(lock)


def works(prefix: Path) -> bool:
    """Say whether a complete virtual environment still fits its Python, which an upgrade of the system may replace."""
    return is_complete(prefix) and ask(prefix / "bin/python", "-c", "import rich; print(1)") == "1"


def make_venv(home: Home) -> None:
    """Make the virtual environment from the lock file, every file checked against its hash.

    Raises:
        Problem: pip could not install it.
    """
    if works(home.venv):
        return
    home.check_room()
    with Stage("virtual environment") as stage:
        fill_venv(home.venv, LOCK)
        stage.note = f"Python {sys.version_info.major}.{sys.version_info.minor}"


def fill_venv(prefix: Path, lock: Path) -> None:
    """Make a virtual environment from a lock file, anew; its stamp comes last.

    Raises:
        Problem: pip could not install it.
    """
    shutil.rmtree(prefix, ignore_errors=True)
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    done = run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", prefix])
    if done.returncode == 0:
        done = run(
            [prefix / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
             "--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirement", lock]
        )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise Problem(
            f"pip could not install {lock.name}: {(said or ['no message'])[-1]}",
            "Check the network and pip's settings (a proxy, an index), then try again: it goes on from here.",
        )
    (prefix / "headrace.stamp").write_text(stamp(lock))
