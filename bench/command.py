"""``python3 bootstrap.py bench``: what is asked for, what is installed for it, and what is told of it."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import logging
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import contestants, host, page, sections
from bench.sections import SECTIONS, Plan
from bench.servers import sweep
from bench.store import Store
from db import machine, trial
from db.home import Home
from db.problem import Problem
from db.stage import Stage

ROWS = 10_000_000
SCALE = (1_000_000, 10_000_000, 50_000_000)
CHANGES = 100_000
BYTES_PER_ROW = 1100  # of a source with its kept results, log and temporary files
# Seconds for a million sales on two cores, without the time before the first one; for the estimate alone.
RATES = {
    "headrace": 9.0, "headrace-full": 9.0, "floor": 2.0, "floor-unlogged": 1.3, "copy-dbt": 3.5, "dlt-dbt": 4.5,
    "ingestr-dbt": 4.0, "mimeo": 1.6, "ingestr-cdc-dbt": 5.0,
}  # fmt: skip
BESIDE = ("first", "change")  # the sections that others than Headrace take part in
GENERATE, CHECK = 2.0, 1.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of what follows ``bench``."""
    top = argparse.ArgumentParser(
        prog="bootstrap.py bench", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures Headrace beside the floor and its peers, on two instances made for it.",
        epilog=f"sections:     {', '.join(SECTIONS)}\ncontestants:  {', '.join(everyone())}",
    )  # fmt: skip
    top.add_argument("--rows", type=number, default=ROWS, help=f"sales of the main size ({ROWS})")
    top.add_argument("--repeat", type=number, default=3, help="how often each is measured (3)")
    top.add_argument("--quick", action="store_true", help="the same as --repeat 1")
    top.add_argument("--changes", type=number, default=CHANGES, help=f"changes before a change run ({CHANGES})")
    top.add_argument(
        "--scale", type=sizes, default=SCALE, metavar="N,N,…", help="sizes that a change run is compared on"
    )
    top.add_argument("--only", nargs="+", default=[], metavar="NAME", help="some sections, or some contestants")
    top.add_argument("--resume", action="store_true", help="go on with what an interrupted benchmark has kept")
    top.add_argument("--busy", action="store_true", help="measure although others use this machine; it is noted")
    top.add_argument(
        "--write", type=Path, metavar="PAGE", help="write tables and picture into a page, as docs/performance.md"
    )
    top.add_argument("--json", action="store_true", help="the results for a program; progress goes to stderr")
    return top


def everyone() -> list[str]:
    """Return the names of all contestants."""
    return list(dict.fromkeys(kind.name for kind in (*contestants.FIRST, *contestants.CHANGE)))


def number(text: str) -> int:
    """Return a number above zero; thousands may be parted."""
    found = int(re.sub(r"[ _]", "", text))
    if found < 1:
        raise argparse.ArgumentTypeError(f"{found} is not above zero")
    return found


def sizes(text: str) -> tuple[int, ...]:
    """Return several numbers."""
    return tuple(number(part) for part in text.split(","))


def chosen(only: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell sections from contestants among the names of ``--only``.

    Raises:
        Problem: something is neither.
    """
    if unknown := [name for name in only if name not in SECTIONS and name not in everyone()]:
        raise Problem(
            f"there is no section and no contestant {unknown[0]}",
            f"Sections: {', '.join(SECTIONS)}.\nContestants: {', '.join(everyone())}.",
        )
    names = [name for name in everyone() if name in only]
    those_for_all = [name for name in SECTIONS if name in BESIDE or not names or "headrace" in names]
    return [name for name in SECTIONS if name in only] or those_for_all, names


# ---------------------------------------------------------------------------------------------------------------------
# What is installed
# ---------------------------------------------------------------------------------------------------------------------
def install(directory: Path, names: Sequence[str]) -> None:
    """Install the peers that take part: each lock file in an environment of its own, mimeo by apt where that can be.

    A peer that cannot be installed does not take part, and the page says so.
    """
    server = machine.choose(machine.installed())
    if contestants.Mimeo.name in names and "mimeo" not in server.extensions:
        package = f"postgresql-{server.version}-mimeo"
        with Stage(f"package {package}") as stage:
            try:
                machine.install_package(package)
            except Problem as problem:
                stage.note = f"not available: {problem}"
    for lock in sorted({lock for name in names for lock in contestants.LOCKS.get(name, ())}):
        prefix = directory / f"venv-{lock}"
        file = contestants.HERE / f"{lock}.lock"
        if not machine.is_complete(prefix, file):
            with Stage(f"virtual environment of {lock}") as stage:
                try:
                    machine.fill_venv(prefix, file)
                except Problem as problem:
                    stage.note = f"not available: {problem}"


def versions(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of the peers, as their lock files pin them."""
    pinned: dict[str, str] = {}
    for lock in sorted({lock for name in names for lock in contestants.LOCKS.get(name, ())}):
        wanted = re.findall(r"^([\w-]+)(?:\[.*\])?==", (contestants.HERE / f"{lock}.in").read_text(), re.MULTILINE)
        text = (contestants.HERE / f"{lock}.lock").read_text()
        found = dict(re.findall(r"^([\w-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE))
        pinned |= {name: found[name] for name in wanted}
    if contestants.Mimeo.name in names:
        server = machine.choose(machine.installed())
        pinned["mimeo"] = (
            machine.ask("dpkg-query", "-W", "-f", "${Version}", f"postgresql-{server.version}-mimeo") or "none"
        )
    return pinned


# ---------------------------------------------------------------------------------------------------------------------
# What is told
# ---------------------------------------------------------------------------------------------------------------------
def estimate(plan: Plan, wanted: Sequence[str], names: Sequence[str]) -> float:
    """Return about how many seconds it takes on a quiet machine with two cores."""
    million = plan.rows / 1e6

    def once(kinds: Sequence[type[contestants.Contestant]]) -> float:
        return sum((RATES[kind.name] + CHECK) * million + 4 for kind in kinds if kind.name in names)

    others = [size / 1e6 for size in set(plan.scale) - {plan.rows}] if "scale" in wanted else []
    seconds = 15 + GENERATE * million + sum(size * (GENERATE + 2 * CHECK + RATES["headrace"]) for size in others)
    if "first" in wanted:
        seconds += plan.repeat * once(contestants.FIRST)
    if "change" in wanted:
        slow = [kind for kind in contestants.CHANGE if kind.is_peer]
        seconds += plan.repeat * (once(slow) + 3 * CHECK * million + 10) + once([contestants.IngestrCdcDbt])
    return seconds + sum({"idle": 5, "latency": 50, "scale": 90, "capture": 60, "source": 40}.get(s, 0) for s in wanted)


def check_quiet(allowed: bool) -> float:
    """Look how much of the machine others use; refuse to measure beside them unless that is allowed.

    Raises:
        Problem: they use too much.
    """
    share = host.others_share()
    if share > host.QUIET and not allowed:
        raise Problem(
            f"this machine is not quiet: others use {share:.0%} of its CPU, load average {load()}",
            "Stop what else runs; or measure all the same with --busy, and the results will say so.",
        )
    return share


def load() -> str:
    """Return the load averages."""
    return " ".join(host.read("/proc/loadavg").split()[:3])


def check_disk(plan: Plan, wanted: Sequence[str]) -> None:
    """Refuse to fill the disk.

    Raises:
        Problem: there is too little room.
    """
    most = sum({plan.rows, *(plan.scale if "scale" in wanted else ())}) * BYTES_PER_ROW + 6 * 2**30
    free = shutil.disk_usage(plan.directory).free
    if plan.rows >= 1_000_000 and free < most:
        raise Problem(
            f"about {most / 2**30:.0f} GiB are needed in {plan.directory}, and {free / 2**30:.0f} GiB are free",
            "Free some space, set HEADRACE_HOME to another disk, or measure less: --rows, --scale, --only.",
        )


def progress(to_stderr: bool) -> contextlib.AbstractContextManager[object]:
    """Send what is printed on the way elsewhere, where the results are for a program."""
    return contextlib.redirect_stdout(sys.stderr) if to_stderr else contextlib.nullcontext()


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Let a signal end the program in order."""
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # a statement that a signal ends is no news
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, trial.stop)
    yield


def measure(plan: Plan, wanted: Sequence[str], store: Store) -> Mapping[str, str]:
    """Measure the sections; return who could not take part, and why."""
    servers = machine.installed()
    with sections.on_instances(plan, store, servers) as bench:
        sizes_needed = {plan.rows, *(plan.scale if "scale" in wanted else ())}
        if "capture" in wanted:
            sizes_needed.add(min(plan.scale, default=plan.rows))
        bench.generate(sorted(sizes_needed))
        for section in wanted:
            SECTIONS[section](bench)
        return bench.absent


def run(home: Home, words: Sequence[str]) -> int:
    """Run the benchmark.

    Returns:
        0; 1 if a result was wrong or a contestant failed; 128 and more after a signal.

    Raises:
        Problem: it could not be done; what was measured is kept.
    """
    arguments = parser().parse_args(words)
    wanted, only = chosen(arguments.only)
    names = only or everyone()
    directory = home.path / "bench"
    home.prepare()
    directory.mkdir(mode=0o711, exist_ok=True)
    plan = Plan(
        arguments.rows, 1 if arguments.quick else arguments.repeat, arguments.scale, arguments.changes, directory, only
    )  # fmt: skip
    machine.forget_libpq_environment()
    with Home(directory).locked(), progress(arguments.json), signals():
        sweep(directory, machine.installed())
        check_disk(plan, wanted)
        install(directory, names)
        others = check_quiet(arguments.busy)
        about = {
            "asked for": {
                "rows": plan.rows, "repeat": plan.repeat, "scale": list(plan.scale), "changes": plan.changes,
            },
            "machine": host.describe(machine.choose(machine.installed())),
            "versions": versions(names),
            "command": " ".join(["python3 bootstrap.py bench", *told(words)]),
        }  # fmt: skip
        store = Store(directory / "results.jsonl", about, arguments.resume)
        minutes = estimate(plan, wanted, names) / 60
        print(f"  about {max(1, round(minutes))} min on two quiet cores; others use {others:.0%} now, load {load()}")
        print(f"  kept as it goes in {store.path}; --resume goes on from there")
        try:
            absent = measure(plan, wanted, store)
        except trial.Stopped as stopped:
            print("\nInterrupted. What was measured is kept:  --resume  goes on from there.")
            return stopped.exit_code
    day = datetime.datetime.now(tz=datetime.UTC).date()
    report = page.Report(store, absent, day)
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        print(f"\n{report.as_text()}")
    if arguments.write:
        report.write(arguments.write)
        print(f"Written: {arguments.write} and {arguments.write.with_suffix('.svg')}", file=sys.stderr)
    return 1 if store.refused else 0


def told(words: Sequence[str]) -> list[str]:
    """Return the words of the command line that say what was measured, not where it goes."""
    kept, skip = [], False
    for word in words:
        if skip or word in {"--json", "--resume"}:
            skip = False
        elif word == "--write":
            skip = True
        else:
            kept.append(word)
    return kept
