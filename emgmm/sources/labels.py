"""The pairing of labels with rows that are read in groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from emgmm.sources.known import Known, check_number
from emgmm.sources.row_group import RowGroup


class KnownRows(Protocol):
    """Type of what is known of the rows of a source that are read in groups."""

    def attached_to(self, groups: Iterator[RowGroup]) -> Iterator[RowGroup]:
        """Yield row groups together with what is known of their rows."""


class KnownInMemory:
    """Labels or responsibilities of all rows, in memory."""

    def __init__(self, known: Known) -> None:
        self.known = known

    def attached_to(self, groups: Iterator[RowGroup]) -> Iterator[RowGroup]:
        """Yield row groups together with what is known of their rows."""
        start = 0
        for group in groups:
            stop = start + len(group)
            if stop > len(self.known):
                check_number(len(self.known), f"at least {stop}")
            yield replace(group, known=self.known.take(slice(start, stop)))
            start = stop
        check_number(len(self.known), start)
