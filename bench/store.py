"""What was measured: one line of JSON per measurement, so that an interrupted benchmark goes on from where it was."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from db.problem import Problem

Facts = dict[str, float]


@dataclass
class Measurement:
    """One contestant, once.

    Args:
        section: what was measured.
        name: the contestant.
        rows: sales in the source.
        round: the how manieth time.
        seconds: by the clock.
        parts: the seconds of its parts.
        others: share of the machine that others took meanwhile.
        facts: what else was seen, by name.
        refused: why it does not count; empty if it does.
    """

    section: str
    name: str
    rows: int
    round: int
    seconds: float
    parts: Facts = field(default_factory=dict)
    others: float = 0.0
    facts: Facts = field(default_factory=dict)
    refused: str = ""

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What it is found by."""
        return self.section, self.name, self.rows, self.round


@dataclass(frozen=True)
class Figure:
    """A median with its spread."""

    median: float
    least: float
    most: float
    times: int


def figure(values: list[float]) -> Figure | None:
    """Return the median of values and their spread; None for none."""
    return Figure(statistics.median(values), min(values), max(values), len(values)) if values else None


class Store:
    """The measurements of one benchmark, kept in a file.

    Args:
        path: the file; its first line says what was to be measured.
        about: that, together with versions and machine.
        resume: go on with the file if it is about the same; else begin anew.
    """

    def __init__(self, path: Path, about: Mapping[str, object], resume: bool = False) -> None:
        """Read what was measured before, or begin the file, keeping the one before beside it.

        Raises:
            Problem: the file is about something else.
        """
        self.path = path
        self.about = json.loads(json.dumps(about))
        self._measured: dict[tuple[str, str, int, int], Measurement] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if resume and path.exists() else []
        if lines:
            before = json.loads(lines[0])
            if changed := [name for name in before if name != "command" and before[name] != self.about.get(name)]:
                raise Problem(
                    f"{path} cannot be gone on with: {' and '.join(changed)} differ",
                    f"It has {', '.join(str(before[name]) for name in changed)}.\nLeave --resume out to begin anew.",
                )
            for line in lines[1:]:
                measurement = Measurement(**json.loads(line))
                self._measured[measurement.key] = measurement
        else:
            if path.exists():
                path.replace(path.with_suffix(".before.jsonl"))
            path.write_text(f"{json.dumps(self.about)}\n", encoding="utf-8")

    def __iter__(self) -> Iterator[Measurement]:
        """Go through all measurements, the first one first."""
        return iter(self._measured.values())

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement, at once on disk."""
        self._measured[measurement.key] = measurement
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(measurement))}\n")

    def has(self, section: str, name: str, rows: int, number: int) -> bool:
        """Say whether something was measured and counts."""
        found = self._measured.get((section, name, rows, number))
        return found is not None and not found.refused

    def find(self, section: str, name: str | None = None, rows: int | None = None) -> list[Measurement]:
        """Return the measurements that count."""
        return [
            m
            for m in self
            if m.section == section and name in (None, m.name) and rows in (None, m.rows) and not m.refused
        ]

    def names(self, section: str) -> list[str]:
        """Return who was measured in a section and counts, in order."""
        return list(dict.fromkeys(m.name for m in self.find(section)))

    def seconds(self, section: str, name: str, rows: int | None = None) -> Figure | None:
        """Return the time of a contestant."""
        return figure([m.seconds for m in self.find(section, name, rows)])

    def fact(self, fact: str, section: str, name: str, rows: int | None = None) -> Figure | None:
        """Return something else that was seen of it."""
        return figure([m.facts[fact] for m in self.find(section, name, rows) if fact in m.facts])

    def part(self, part: str, section: str, name: str) -> Figure | None:
        """Return the time of one of its parts."""
        return figure([m.parts[part] for m in self.find(section, name) if part in m.parts])

    @property
    def refused(self) -> list[Measurement]:
        """What does not count."""
        return [m for m in self if m.refused]
