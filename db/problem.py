"""Errors that are the machine's or the user's to mend, said in words."""

from __future__ import annotations


class Problem(Exception):
    """Something that stops the command and that the person in front of it can mend.

    Args:
        what: one line: what is wrong, and where.
        way_out: what to do about it, one line or a few.
    """

    def __init__(self, what: str, way_out: str = "") -> None:
        """Keep both lines; the exception's text is the first."""
        super().__init__(what)
        self.way_out = way_out
