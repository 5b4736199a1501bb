"""Groups of consecutive rows, as streamed sources read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from emgmm.sources.block import Block
from emgmm.sources.known import Known
from emgmm.sources.patterns import by_pattern
from emgmm.typing import Array

# Entries (rows times features) of a row group whose size the source may choose: 4 MB in float64.
ENTRIES = 2**19


@dataclass(frozen=True, eq=False)
class RowGroup:
    """Consecutive rows that are read together.

    Parameters
    ----------
    rows : (B, D)
        Rows in float64 or float32; NaN marks a missing value.
    weights : (B,) float64, optional
        Weight of each row; 1 by default.
    names : (D,) array of str, optional
        Names of the features.
    start : int
        Number of the first row.
    complete : bool
        Whether it is known that no value is missing.
    known : Known, optional
        Labels or responsibilities of the rows.
    """

    rows: Array
    weights: Array | None = None
    names: Array | None = None
    start: int = 0
    complete: bool = False
    known: Known | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def row_name(self, index: int) -> str:
        """Return the name of a row in error messages."""
        return f"row {self.start + index}"

    def part(self, place: slice) -> RowGroup:
        """Return the rows in a slice as a row group."""
        weights = None if self.weights is None else self.weights[place]
        start = self.start + place.start
        known = None if self.known is None else self.known.take(place)
        return RowGroup(self.rows[place], weights, self.names, start, self.complete, known)

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield the rows in blocks of at most `size`, ordered by pattern of missing features.

        The whole group is sorted, and not each block by itself, so that more adjacent rows share a
        pattern.
        """
        starts = range(0, len(self), size)
        if self.complete or not np.isnan(self.rows).any():
            for part in (self.part(slice(at, at + size)) for at in starts):
                yield Block(part.start, part.rows.T, part.weights, known=part.known)
            return
        order = by_pattern(self.rows)
        for some in (order[at : at + size] for at in starts):
            weights = None if self.weights is None else self.weights[some]
            rows = np.take(self.rows, some, axis=0).T
            complete = not np.isnan(rows).any()
            known = None if self.known is None else self.known.take(some)
            yield Block(self.start, rows, weights, complete, self.start + some, known=known)


def is_sliceable(value: Any, ndim: int) -> bool:
    """Whether value is an array of numbers, with `ndim` dimensions, that supports slicing."""
    return (
        getattr(value, "ndim", None) == ndim
        and getattr(getattr(value, "dtype", None), "kind", "") in set("biuf")
        and hasattr(value, "shape")
        and hasattr(value, "__getitem__")
        and not hasattr(value, "to_numpy")  # columns of tables
        and not issparse(value)
    )
