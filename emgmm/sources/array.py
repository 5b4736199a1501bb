"""The source of the rows of an array in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from emgmm.sources.block import Block
from emgmm.sources.known import Known, LabelRules, check_number
from emgmm.sources.patterns import by_pattern
from emgmm.sources.source import Rows, Source, sample_indices
from emgmm.threads import cached_property
from emgmm.typing import Array, Integers

# Largest number of entries of an array that is copied once in the layout of blocks (float64, one
# feature per row). Otherwise each pass converts its blocks, which with 64 features takes as long as
# the rest of the pass.
SMALL = 2**18


class ArraySource(Source):
    """Rows of an (N, D) array; a small array is copied once to float64 in the layout of blocks.

    Parameters
    ----------
    rows : (N, D)
        Rows in float64 or float32; NaN marks a missing value.
    weights : (N,) float64, optional
        Weight of each row; 1 by default.
    complete : bool
        Whether no value is missing. Otherwise, rows with the same missing features are adjacent in
        the blocks.
    """

    def __init__(self, rows: Array, weights: Array | None = None, *, complete: bool = True) -> None:
        self.rows = rows
        self.weights = weights
        self.complete = complete
        self.n_rows, self.n_features = rows.shape
        self.dtype = rows.dtype
        self._is_small = complete and rows.size <= SMALL
        self._features = np.ascontiguousarray(rows.T, np.float64) if self._is_small else rows.T
        self._persistent: dict[int, list[Block]] = {}  # by block size
        self.known: Known | None = None

    @property
    def block_dtype(self) -> np.dtype[Any]:
        return self._features.dtype

    def attach_labels(
        self, labels: Any, rules: LabelRules, row_name: Callable[[int], str] = "row {}".format
    ) -> None:
        known = rules(labels, row_name)
        check_number(len(known), self.n_rows)
        self.known = known
        self.has_labels = True

    def blocks(self, size: int) -> Iterator[Block]:
        if not self._is_small:
            return self._divide(size)
        size = min(size, max(1, self.n_rows))
        if size not in self._persistent:
            self._persistent[size] = list(self._divide(size))
        return iter(self._persistent[size])

    def _divide(self, size: int) -> Iterator[Block]:
        for start in range(0, self.n_rows, size):
            place: slice | Integers = slice(start, start + size)
            if self.complete:
                numbers, rows = None, self._features[:, place]
            else:
                numbers = place = self._by_pattern[place]
                rows = np.take(self.rows, numbers, axis=0).T
            weights = None if self.weights is None else self.weights[place]
            known = None if self.known is None else self.known.take(place)
            yield Block(start, rows, weights, self.complete, numbers, self._is_small, known)

    @cached_property
    def _by_pattern(self) -> Integers:
        """Row numbers, shape (N,), ordered by the pattern of missing features."""
        return by_pattern(self.rows)

    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        numbers = sample_indices(self.n_rows, limit, random)
        if self.n_rows <= limit:
            return Rows(self.rows, self.weights, self.complete, numbers, self.n_rows)
        weights = None if self.weights is None else self.weights[numbers]
        return Rows(self.rows[numbers], weights, self.complete, numbers, self.n_rows)
