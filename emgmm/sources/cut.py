"""What is read at once, and what it is read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from emgmm.sources.block import Block
from emgmm.sources.patterns import by_pattern
from emgmm.typing import Array

# Entries, rows times features, that are read at once where the source may choose: 4 MB in float64.
ENTRIES = 2**19


@dataclass(frozen=True, eq=False)
class Cut:
    """What is read at once.

    Parameters
    ----------
    rows : (B, D)
        float64 or float32; NaN where something is missing.
    weights : (B,) float64, optional
        What each row counts; 1 by default.
    names : (D,) array of str, optional
        Where the features have names.
    start : int
        Number of the first row.
    complete : bool
        Whether it is known that nothing is missing.
    """

    rows: Array
    weights: Array | None = None
    names: Array | None = None
    start: int = 0
    complete: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, place: slice) -> Cut:
        """Some of its rows."""
        weights = None if self.weights is None else self.weights[place]
        return Cut(self.rows[place], weights, self.names, self.start + place.start, self.complete)

    def blocks(self, size: int) -> Iterator[Block]:
        """Its rows, at most `size` at a time; those that miss the same features side by side.

        All of its rows are sorted together, so that there are many with the same pattern.
        """
        starts = range(0, len(self), size)
        if self.complete or not np.isnan(self.rows).any():
            for part in (self.part(slice(at, at + size)) for at in starts):
                yield Block(part.start, part.rows.T, part.weights)
            return
        order = by_pattern(self.rows)
        for some in (order[at : at + size] for at in starts):
            weights = None if self.weights is None else self.weights[some]
            rows = np.take(self.rows, some, axis=0).T
            complete = not np.isnan(rows).any()
            yield Block(self.start, rows, weights, complete, self.start + some)


def is_sliceable(value: Any, ndim: int) -> bool:
    """Whether value is an array of numbers that hands out its rows by slices."""
    return (
        getattr(value, "ndim", None) == ndim
        and getattr(getattr(value, "dtype", None), "kind", "") in set("biuf")
        and hasattr(value, "shape")
        and hasattr(value, "__getitem__")
        and not hasattr(value, "to_numpy")  # columns of tables
        and not issparse(value)
    )
