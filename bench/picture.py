"""The picture of the page: bars as SVG, readable on light and on dark ground."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.contestants import CHANGE, FIRST
from bench.store import Figure, Store

MARGIN = 16
WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 760, 170, 130, 20, 10, 44
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .ground { fill: #ffffff }
  .title { font-weight: 600 }
  .other { fill: #8c959f } .own { fill: #0969da } .floor { fill: #1a7f37 }
  .spread { stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } text { fill: #e6edf3 } .other { fill: #6e7681 } .own { fill: #4493f8 }
    .floor { fill: #3fb950 } .spread { stroke: #e6edf3 }
  }
"""
TITLES = {kind.name: kind.title for kind in (*FIRST, *CHANGE)}


def thousands(value: int) -> str:
    """Return a number as people read it."""
    return f"{value:,}".replace(",", " ")


def colour(name: str) -> str:
    """Return the class that a contestant's bar is painted by."""
    return "own" if name.startswith("headrace") else "floor" if name.startswith("floor") else "other"


def group(title: str, found: Sequence[tuple[str, Figure]], top: int) -> tuple[list[str], int]:
    """Return the bars of one section, the fastest first, and where the next one begins."""
    parts = [f'<text class="title" x="0" y="{top + 16}">{escape(title)}</text>']
    top += HEAD - 16
    longest = max(figure.most for _, figure in found)
    scale = (WIDTH - LEFT - RIGHT) / longest
    for name, figure in found:
        middle = top + BAR / 2
        end = LEFT + figure.median * scale
        parts += [
            f'<text x="{LEFT - 8}" y="{middle + 5:.0f}" text-anchor="end">{escape(TITLES[name])}</text>',
            f'<rect class="{colour(name)}" x="{LEFT}" y="{top}" width="{max(end - LEFT, 1):.1f}"'
            f' height="{BAR}" rx="3"/>',
            f'<line class="spread" x1="{LEFT + figure.least * scale:.1f}" x2="{LEFT + figure.most * scale:.1f}"'
            f' y1="{middle:.1f}" y2="{middle:.1f}"/>',
            f'<text x="{LEFT + figure.most * scale + 8:.1f}" y="{middle + 5:.0f}">{figure.median:.1f} s</text>',
        ]
        top += BAR + GAP
    return parts, top + GAP


def bars(store: Store, rows: int) -> str:
    """Return the picture of first load and change run."""
    parts: list[str] = []
    top = MARGIN
    changes = int(store.about["asked for"]["changes"])
    for section, title in (
        ("first load", f"First load of {thousands(rows)} sales into a star schema, seconds"),
        ("change run", f"A run after {thousands(changes)} changes, seconds"),
    ):
        found = [(name, figure) for name in store.names(section) if (figure := store.seconds(section, name))]
        if found:
            more, top = group(title, sorted(found, key=lambda one: one[1].median), top)
            parts += more
    wide = WIDTH + 2 * MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} 0 {wide} {top}" width="{wide}" height="{top}"'
    ground = f'<rect class="ground" x="{-MARGIN}" width="{wide}" height="{top}" rx="6"/>'
    words = ' role="img" aria-label="Times of the contestants, as in the tables of this page">'
    return "\n".join([head + words, f"<style>{STYLE}</style>", ground, *parts, "</svg>\n"])
