"""What came of it: targets, tables and a picture, for a terminal, a program and a page."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import host, picture
from bench.contestants import CHANGE, FIRST
from bench.store import Figure, Store

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
TITLES = {kind.name: kind.title for kind in (*FIRST, *CHANGE)}
PAIRS = ("copy-dbt", "dlt-dbt", "ingestr-dbt")
PEER_CHANGES = ("copy-dbt", "ingestr-cdc-dbt")
ALLOWANCE = 16 * 2**20  # bytes of one hash table: work_mem of the embedded instances by hash_mem_multiplier
HEADING = 2  # lines of a table without a row
NAMELESS = {"CPU", "system"}
FLAT = 1.25  # a peak that grows by less is taken as flat


@dataclass(frozen=True)
class Target:
    """One line of the table of targets."""

    what: str
    target: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """Whether it is met, in a word."""
        return "not measured" if self.met is None else "yes" if self.met else "**no**"


def ratio(above: Figure | None, below: Figure | None) -> float | None:
    """Return the ratio of two medians."""
    return above.median / below.median if above and below and below.median else None


def spread(found: Figure | None, unit: float = 1, digits: int = 1, name: str = "s") -> str:
    """Return a median and its spread as people read them."""
    if not found:
        return ""
    middle = f"{found.median * unit:.{digits}f} {name}"
    if found.times == 1:
        return middle
    return f"{middle} ({found.least * unit:.{digits}f}–{found.most * unit:.{digits}f})"


def size(rows: float) -> str:
    """Return a number of rows as people say it."""
    return f"{rows / 1e6:g} M" if rows >= 1e6 else f"{rows:,.0f}".replace(",", " ")


def megabytes(value: float) -> str:
    """Return bytes as people read them."""
    return f"{value / 2**20:.0f} MB"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


@dataclass
class Report:
    """The results of one benchmark."""

    store: Store
    absent: Mapping[str, str]
    day: datetime.date

    @property
    def rows(self) -> int:
        """The main size."""
        return int(self.store.about["asked for"]["rows"])

    @property
    def changes(self) -> int:
        """The changes of a change run."""
        return int(self.store.about["asked for"]["changes"])

    # ------------------------------------------------------------------------------------------------------------------
    # Targets
    # ------------------------------------------------------------------------------------------------------------------
    def targets(self) -> list[Target]:
        """Return the targets, each beside what was measured."""
        return [
            *self._first_load(), *self._change_run(), self._scale(), *self._capture(), self._idle(), self._latency(),
            self._memory(), *self._readers(),
        ]  # fmt: skip

    def _best(self, section: str, names: Sequence[str]) -> tuple[str, Figure | None]:
        found = {name: self.store.seconds(section, name) for name in names}
        known = {name: figure for name, figure in found.items() if figure}
        best = min(known, key=lambda name: known[name].median, default="")
        return TITLES.get(best, ""), known.get(best)

    def _first_load(self) -> list[Target]:
        own = self.store.seconds("first load", "headrace")
        floor = ratio(own, self.store.seconds("first load", "floor"))
        name, best = self._best("first load", PAIRS)
        ahead = ratio(best, own)
        return [
            limit(f"First load of {size(self.rows)} sales, to the durable floor", "at most 1.0 ×", floor, 1.0),
            limit(f"First load, the best peer pair ({name}) to it" if name else "First load, the best peer pair to it",
                  "at least 2 ×", ahead, 2.0, at_least=True),
        ]  # fmt: skip

    def _change_run(self) -> list[Target]:
        own = self.store.seconds("change run", "headrace")
        share = ratio(own, self.store.seconds("first load", "headrace"))
        name, best = self._best("change run", PEER_CHANGES)
        what = f"A run after {size(self.changes)} changes on {size(self.rows)}"
        return [
            limit(f"{what}, to the first load", "at most 0.05 ×", share, 0.05, digits=3),
            limit(f"{what}, the best peer's way ({name}) to it" if name else f"{what}, the best peer's way to it",
                  "at least 20 ×", ratio(best, own), 20.0, at_least=True),
        ]  # fmt: skip

    def _scale(self) -> Target:
        sizes = sorted({m.rows for m in self.store.find("scale", "headrace")})
        figures = [self.store.seconds("scale", "headrace", rows) for rows in sizes]
        grown = ratio(figures[-1], figures[0]) if len(sizes) > 1 else None
        what = ", ".join(size(rows) for rows in sizes) or "three sizes"
        return limit(f"The same run on {what}: largest to smallest", "at most 1.2 ×", grown, 1.2)

    def _capture(self) -> list[Target]:
        own = self.store.seconds("capture", "headrace")
        changes = self.store.fact("changes", "capture", "headrace")
        rate = changes.median / own.median if own and changes else None
        beside = ratio(own, self.store.seconds("capture", "native"))
        return [
            Target(
                "Capture through the slot into the mirror", "at least 100 000 changes a second",
                f"{rate:,.0f} a second".replace(",", " ") if rate else "", None if rate is None else rate >= 100_000,
            ),
            limit("The same, to logical replication's time", "at most 2 ×", beside, 2.0),
        ]  # fmt: skip

    def _idle(self) -> Target:
        own, empty = (self.store.seconds("idle run", name) for name in ("headrace", "psql"))
        found = limit("A run with nothing to do, to psql -c 'select 1'", "at most 3 ×", ratio(own, empty), 3.0)
        if own and empty:
            measured = f"{found.measured} ({own.median * 1000:.0f} ms, {empty.median * 1000:.0f} ms)"
            return Target(found.what, found.target, measured, found.met)
        return found

    def _latency(self) -> Target:
        half, most = (self.store.fact(name, "latency", "headrace") for name in ("p50", "p99"))
        met = half.median < 1 and most.median < 2 if half and most else None
        measured = f"p50 {half.median:.2f} s, p99 {most.median:.2f} s" if half and most else ""
        return Target("Commit to visible, one row, loop at 1 s", "p50 under 1 s, p99 under 2 s", measured, met)

    def memory(self, rows: int) -> float | None:
        """Return the most memory of its own that one backend held at a size, load and change runs together."""
        peaks = [
            most
            for m in self.store
            if m.name == "headrace" and m.rows == rows and not m.refused and m.section != "capture"
            for fact, most in m.facts.items()
            if fact.endswith(" memory")
        ]
        return max(peaks, default=None)

    def _memory(self) -> Target:
        sizes = sorted({m.rows for m in self.store.find("scale", "headrace")})
        peaks = [peak for peak in map(self.memory, sizes) if peak is not None]
        met = peaks[-1] <= max(FLAT * peaks[0], ALLOWANCE) if len(peaks) > 1 else None
        measured = ", ".join(f"{megabytes(p)} at {size(rows)}" for rows, p in zip(sizes, peaks, strict=False))
        return Target("Peak memory of any backend", "bounded by work_mem, flat", measured, met)

    def _readers(self) -> list[Target]:
        found = []
        for name, limits, target in (
            ("most_popular_product", 0.010, "under 10 ms"), ("dashboard", 1.0, "under 1 s"),
        ):  # fmt: skip
            known = [m for m in self.store.find("readers") if m.name in {name, f"{name} stand-in"}]
            largest = max(known, key=lambda m: m.rows, default=None)
            label = f"{name}()" if not largest or largest.name == name else f"{name}, a stand-in for it"
            found.append(
                Target(
                    f"{label} at {size(largest.rows)} facts" if largest else f"{label} at the largest size", target,
                    f"{largest.seconds * 1000:.1f} ms" if largest else "",
                    largest.seconds < limits if largest else None,
                )
            )  # fmt: skip
        return found

    # ------------------------------------------------------------------------------------------------------------------
    # Tables
    # ------------------------------------------------------------------------------------------------------------------
    def quiet(self) -> str:
        """Say how much of the machine others took."""
        shares = sorted(m.others for m in self.store)
        if not shares:
            return "Nothing was measured."
        middle, most = shares[len(shares) // 2], shares[-1]
        verdict = "The machine was quiet" if middle <= host.QUIET else "**The machine was not quiet**"
        return (
            f"{verdict}: others took {middle:.0%} of its CPU in the median measurement, {most:.0%} in the worst,"
            f" and more than {host.QUIET:.0%} in {sum(share > host.QUIET for share in shares)} of {len(shares)}."
        )

    def section(self, name: str, base: str, parts: bool) -> list[str]:
        """Return the table of a section, the fastest first, as ratios to one of its contestants."""
        names = sorted(self.store.names(name), key=lambda n: self._median(name, n))
        below = self.store.seconds(name, base)
        rows = []
        for contestant in names:
            found = self.store.seconds(name, contestant)
            times = ratio(found, below)
            cpu = [self.store.fact(f"{where} CPU", name, contestant) for where in ("source", "warehouse")]
            row = [
                TITLES[contestant], spread(found), f"{times:.2f} ×" if times else "",
                f"{sum(each.median for each in cpu if each):.1f} s",
            ]  # fmt: skip
            if parts:
                row += [spread(self.store.part(part, name, contestant)) for part in ("load", "transform", "run")]
            rows.append(row)
        head = ["contestant", "median (least–most)", f"to {TITLES[base]}", "CPU of both instances"]
        return table([*head, *(["load alone", "transform alone", "to the end of the run"] if parts else [])], rows)

    def _median(self, section: str, name: str) -> float:
        found = self.store.seconds(section, name)
        return found.median if found else 0.0

    def by_size(self) -> list[str]:
        """Return what the size of the tables does."""
        sizes = sorted({m.rows for m in self.store.find("scale", "headrace")})
        rows = []
        for number in sizes:
            loads = [m.seconds for m in self.store.find("load to stay", "headrace", number)]
            first = f"{loads[0]:.1f} s" if loads else spread(self.store.seconds("first load", "headrace", number))
            readers = {m.name.partition(" ")[0]: m.seconds for m in self.store.find("readers", rows=number)}
            memory = self.memory(number)
            rows.append([
                size(number), first, spread(self.store.seconds("scale", "headrace", number), digits=2),
                *(f"{readers[n] * 1000:.1f} ms" if n in readers else "" for n in ("most_popular_product", "dashboard")),
                megabytes(memory) if memory else "",
            ])  # fmt: skip
        return table(["sales", "first load", "change run", "most popular", "dashboard", "peak memory"], rows)

    def cost(self) -> list[str]:
        """Return what each way costs the source."""
        rows = []
        for name in ("first load", "change run"):
            rows += [self._cost(name, contestant, TITLES[contestant]) for contestant in self.store.names(name)]
        rows += [self._cost("source cost", name, name) for name in self.store.names("source cost")]
        head = ["work", "way", "CPU of the source", "longest snapshot", "log kept by slots"]
        return table(head, rows)

    def _cost(self, section: str, name: str, title: str) -> list[str]:
        cpu, snapshot, kept = (self.store.fact(fact, section, name) for fact in ("source CPU", "snapshot", "WAL kept"))
        return [
            section, title, spread(cpu, digits=2), f"{snapshot.most:.1f} s" if snapshot else "",
            megabytes(kept.most) if kept else "",
        ]  # fmt: skip

    def about(self) -> list[str]:
        """Return versions, machine, and who could not take part."""
        facts = {**self.store.about["machine"], **self.store.about["versions"]}
        lines = [", ".join(value if name in NAMELESS else f"{name} {value}" for name, value in facts.items()) + "."]
        lines += [f"Not available: {TITLES.get(name, name)}, since {why}." for name, why in self.absent.items()]
        lines += [
            f"Refused: {m.section} {m.round} of {TITLES.get(m.name, m.name)}: {m.refused}." for m in self.store.refused
        ]
        return lines

    def body(self, image: str) -> list[str]:
        """Return what stands between the marks of the page."""
        parts: list[tuple[str, Callable[[], list[str]]]] = [
            ("First load", lambda: self.section("first load", "floor", parts=True)),
            (f"A run after {size(self.changes)} changes", lambda: self.section("change run", "headrace", parts=False)),
            ("By size", self.by_size),
            ("Cost at the source", self.cost),
        ]
        lines = [
            f"Measured on {self.day} by `{self.store.about['command']}`. {self.quiet()}", "",
            *self.about(), "",
            *table(
                ["what", "target", "measured", "met"],
                [[t.what, t.target, t.measured, t.verdict] for t in self.targets()],
            ),
            "", f"![Times of the contestants, as in the tables below]({image})",
        ]  # fmt: skip
        for title, made in parts:
            if len(found := made()) > HEADING:
                lines += ["", f"### {title}", "", *found]
        return lines

    # ------------------------------------------------------------------------------------------------------------------
    # Ways out
    # ------------------------------------------------------------------------------------------------------------------
    def as_json(self) -> dict[str, object]:
        """Return all of it for a program."""
        return {
            **self.store.about,
            "day": str(self.day),
            "absent": dict(self.absent),
            "targets": [asdict(target) for target in self.targets()],
            "measurements": [asdict(measurement) for measurement in self.store],
        }

    def as_text(self) -> str:
        """Return the targets for a terminal."""
        rows = [
            ["target", "measured", "met"],
            *([f"{t.what}: {t.target}", t.measured, t.verdict] for t in self.targets()),
        ]
        rows = [[cell.replace("**", "") for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "─" * len(max(lines, key=len)))
        times = [
            f"{section + ', ' + TITLES.get(name, name):<44} {spread(self.store.seconds(section, name), digits=2)}"
            for section in ("first load", "change run")
            for name in self.store.names(section)
        ]
        return "\n".join([*times, "", *lines, "", self.quiet().replace("**", ""), *self.about()])

    def write(self, path: Path) -> None:
        """Write tables and picture between the marks of a page, which is made if it is not there."""
        text = path.read_text(encoding="utf-8") if path.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        image = path.with_suffix(".svg")
        image.write_text(picture.bars(self.store, self.rows), encoding="utf-8")
        body = "\n".join(self.body(image.name))
        path.write_text(f"{before}{BEGIN}\n{body}\n{END}{after or chr(10)}", encoding="utf-8")


def limit(
    what: str, target: str, measured: float | None, bound: float, *, at_least: bool = False, digits: int = 2
) -> Target:  # fmt: skip
    """Return a target that is a ratio."""
    if measured is None:
        return Target(what, target, "", None)
    met = measured >= bound if at_least else measured <= bound
    return Target(what, target, f"{measured:.{digits}f} ×", met)
