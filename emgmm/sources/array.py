"""Rows of an array in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from emgmm.sources.block import Block
from emgmm.sources.patterns import by_pattern
from emgmm.sources.source import Rows, Source, sample_indices
from emgmm.threads import cached_property
from emgmm.typing import Array, Integers

# Numbers in a table of which there is a copy with its features along the first axis, in float64.
# Every pass lays its blocks out so; with 64 features that takes as long as all the rest.
SMALL = 2**18


class ArraySource(Source):
    """The rows of an (N, D) array; of a small one a float64 copy, laid out as blocks are.

    Parameters
    ----------
    rows : (N, D)
        float64 or float32; NaN where something is missing.
    weights : (N,) float64, optional
        What each row counts; 1 by default.
    complete : bool
        Whether nothing is missing. Rows that miss the same features are handed out together.
    """

    def __init__(self, rows: Array, weights: Array | None = None, *, complete: bool = True) -> None:
        self.rows = rows
        self.weights = weights
        self.complete = complete
        self.n_rows, self.n_features = rows.shape
        self.dtype = rows.dtype
        self._is_small = complete and rows.size <= SMALL
        self._features = np.ascontiguousarray(rows.T, np.float64) if self._is_small else rows.T
        self._lasting: dict[int, list[Block]] = {}  # by their size

    @property
    def block_dtype(self) -> np.dtype[Any]:
        return self._features.dtype

    def blocks(self, size: int) -> Iterator[Block]:
        if not self._is_small:
            return self._cut(size)
        size = min(size, max(1, self.n_rows))
        blocks = self._lasting.get(size)
        if blocks is None:
            blocks = self._lasting[size] = list(self._cut(size))
        return iter(blocks)

    def _cut(self, size: int) -> Iterator[Block]:
        for start in range(0, self.n_rows, size):
            place = slice(start, start + size)
            if self.complete:
                weights = None if self.weights is None else self.weights[place]
                yield Block(start, self._features[:, place], weights, is_persistent=self._is_small)
            else:
                numbers = self._by_pattern[place]
                weights = None if self.weights is None else self.weights[numbers]
                yield Block(start, np.take(self.rows, numbers, axis=0).T, weights, False, numbers)

    @cached_property
    def _by_pattern(self) -> Integers:
        """(N,): row numbers, those that miss the same features side by side."""
        return by_pattern(self.rows)

    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        if self.n_rows <= limit:
            return Rows(self.rows, self.weights, self.complete)
        chosen = sample_indices(self.n_rows, limit, random)
        weights = None if self.weights is None else self.weights[chosen]
        return Rows(self.rows[chosen], weights, self.complete)
