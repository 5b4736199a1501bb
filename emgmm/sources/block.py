"""A block: what a pass hands to the E-step, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emgmm.threads import cached_property
from emgmm.typing import Array, Integers


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a source.

    Parameters
    ----------
    start : int
        Number of the first row in its source, where they are consecutive.
    rows : (D, B)
        Features along the first axis; a view of the source's own memory and precision.
    weights : (B,) float64, optional
        What each row counts; 1 by default.
    complete : bool
        Whether nothing is missing; else NaN marks what is.
    numbers : (B,) integers, optional
        The rows' numbers in their source, where they are not consecutive.
    is_persistent : bool
        Whether its source hands out this very block again, to all who ask for the same size.
    """

    start: int
    rows: Array
    weights: Array | None = None
    complete: bool = True
    numbers: Integers | None = None
    is_persistent: bool = False

    @property
    def place(self) -> slice | Integers:
        """Where the rows stand in their source."""
        return self.place_from(0)

    def place_from(self, first: int) -> slice | Integers:
        """Where the rows stand in what begins with row number `first`."""
        if self.numbers is not None:
            return self.numbers - first
        return slice(self.start - first, self.start - first + self.rows.shape[1])

    @property
    def without_zero_weights(self) -> Block:
        """The rows whose weight is above 0: nothing adds up what others hold, however large."""
        return self._part or self

    @cached_property
    def _part(self) -> Block | None:
        # None where all rows count: a block that held itself would live on when it has been used.
        if self.weights is None or self.weights.all():
            return None
        some = np.flatnonzero(self.weights)
        numbers = self.start + some if self.numbers is None else self.numbers[some]
        return replace(self, rows=self.rows[:, some], weights=self.weights[some], numbers=numbers)

    @cached_property
    def weight(self) -> float:
        """What all rows count together."""
        return float(self.rows.shape[1]) if self.weights is None else float(self.weights.sum())

    def total(self, each: Array) -> float:
        """The weighted sum of one number for each row, in float64."""
        if self.weights is None:
            return float(each.sum(dtype=float))
        return float(self.weights @ each)
