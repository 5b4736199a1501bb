"""A block of rows, the unit of data that the E-step processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from emgmm.covariances import Family
from emgmm.sources.known import Known
from emgmm.summary import DataSummary, LabelSummary
from emgmm.threads import cached_property
from emgmm.typing import Array, Integers, Words


@dataclass(frozen=True, eq=False)
class Block:
    """A block of rows of a source.

    Parameters
    ----------
    start : int
        Number of the first row in the source, if the rows are consecutive.
    rows : (D, B)
        Transposed rows; a view of the source's memory, in the source's precision.
    weights : (B,) float64, optional
        Weight of each row; 1 by default.
    complete : bool
        Whether no value is missing. Missing values are NaN.
    numbers : (B,) integers, optional
        Numbers of the rows in the source, if they are not consecutive.
    is_persistent : bool
        Whether the source yields this same object in every pass with the same block size.
    known : Known, optional
        Labels or responsibilities of the rows.
    """

    start: int
    rows: Array
    weights: Array | None = None
    complete: bool = True
    numbers: Integers | None = None
    is_persistent: bool = False
    known: Known | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows, B."""
        return self.rows.shape[1]

    @property
    def place(self) -> slice | Integers:
        """Index of the rows among all rows of the source."""
        return self.place_from(0)

    def place_from(self, first: int) -> slice | Integers:
        """Return the index of the rows in an array whose first row has the number `first`."""
        if self.numbers is not None:
            return self.numbers - first
        return slice(self.start - first, self.start - first + self.n_rows)

    def number_of(self, index: int) -> int:
        """Return the number in the source of the row with an index in the block."""
        return int(self.start + index if self.numbers is None else self.numbers[index])

    @property
    def without_zero_weights(self) -> Block:
        """The block restricted to rows of positive weight; other rows may not affect any sum."""
        return self._positive_part or self

    @cached_property
    def _positive_part(self) -> Block | None:
        # None if all weights are positive: a reference to itself would keep a block in memory.
        if self.weights is None or self.weights.all():
            return None
        return self.take(np.flatnonzero(self.weights))

    def take(self, some: Integers) -> Block:
        """Return the block of the rows with the given indices."""
        return replace(
            self,
            rows=self.rows[:, some],
            weights=None if self.weights is None else self.weights[some],
            numbers=self.start + some if self.numbers is None else self.numbers[some],
            known=None if self.known is None else self.known.take(some),
        )

    @cached_property
    def weight(self) -> float:
        """Total weight of the rows."""
        return float(self.n_rows) if self.weights is None else float(self.weights.sum())

    def total(self, each: Array) -> float:
        """Return the weighted sum, in float64, of one value per row."""
        if self.weights is None:
            return float(np.add.reduce(each, dtype=float))
        return float(self.weights @ each)

    def summary(
        self, family: Family, axes: Array | None = None, sums_of_bits: SumsOfBits | None = None
    ) -> DataSummary:
        """Return the summary of the rows, or of their coordinates along the columns of `axes`.

        It includes the sums of the bits of the rows if a function is given that returns them.
        """
        rows = self.rows if axes is None else axes.T @ self.rows
        of_copy = None if sums_of_bits is None else partial(sums_of_bits, self)
        return DataSummary.of(
            rows, family, self.weights, complete=self.complete, sums_of_bits=of_copy
        )

    def label_summary(self, family: Family, origin: Array, n_components: int) -> LabelSummary:
        """Return the summary of the labelled rows, whose deviations from `origin` are summed."""
        assert self.known is not None
        responsibilities = np.zeros((n_components + 1, self.n_rows))
        responsibilities[: self.known.n_densities] = self.known.responsibilities
        rows = np.asarray(self.rows, dtype=np.float64)
        return LabelSummary.of(rows, self.weights, responsibilities, origin, family.structure)


# Function of a block and of a float64 copy of its rows, (D, B), that returns sums of their bits.
SumsOfBits: TypeAlias = Callable[[Block, Array], Words]
