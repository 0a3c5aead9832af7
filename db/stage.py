"""Shows what a command is doing and how long it has been at it; standard library alone."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

WIDTH = 44
EVERY = 3.0  # seconds between two lines of one stage in a pipe


class Stage:
    """A step of a command: its name and a running clock on a terminal, its name and its time in a pipe.

    Use as a context manager; ``note`` may be set inside and is shown after the time.
    """

    def __init__(self, name: str) -> None:
        """Name the stage; the clock starts on entry."""
        self.name = name
        self.note = ""
        self._started = self._told = 0.0
        self._done = threading.Event()
        self._ticker: threading.Thread | None = None

    def _line(self, sign: str) -> str:
        seconds = time.monotonic() - self._started
        return f"{sign} {self.name:<{WIDTH}} {seconds:6.1f} s  {self.note}".rstrip()

    def tell(self, how_far: str) -> None:
        """Show how far it is: behind the clock on a terminal, every few seconds a line in a pipe."""
        if self._ticker:
            self.note = how_far
        elif how_far and time.monotonic() - max(self._started, self._told) >= EVERY:
            self._told = time.monotonic()
            print(f"{self._line('·')}  {how_far}", flush=True)

    def _tick(self) -> None:
        while not self._done.wait(0.1):
            sys.stdout.write(f"\r\x1b[K{self._line('·')[:100]}")
            sys.stdout.flush()

    def __enter__(self) -> Stage:
        """Start the clock."""
        self._started = time.monotonic()
        if sys.stdout.isatty():
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock and leave the stage's line."""
        if self._ticker:
            self._done.set()
            self._ticker.join()
            sys.stdout.write("\r\x1b[K")
        print(self._line("✗" if kind else "✓"), flush=True)
