"""Sources: where rows come from, in blocks. A source maps and sums functions, and knows no EM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np
from sklearn.utils.random import sample_without_replacement

from emgmm.block import Block
from emgmm.threads import in_order
from emgmm.typing import Array

# Numbers in a table of which there is a copy with its features along the first axis, in float64.
# Every pass lays its blocks out so; with 64 features that takes as long as all the rest.
SMALL = 2**18


class Addable(Protocol):
    """Whatever a pass adds up."""

    def __add__(self, other: Any, /) -> Any: ...


Sum = TypeVar("Sum", bound=Addable)
Result = TypeVar("Result")


class Source(ABC):
    """Rows in blocks."""

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]

    @property
    def block_dtype(self) -> np.dtype[Any]:
        """What the rows of blocks are held in; at least as precise as the rows themselves."""
        return self.dtype

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Block]:
        """All rows, in order, at most `size` at a time."""

    @abstractmethod
    def sample(self, limit: int, random: np.random.RandomState) -> Array:
        """(n, D) rows that stand for all: every row up to `limit`, a random choice beyond it.

        The choice is of row numbers, so that it depends on `random` and the number of rows only.
        """

    def map(self, function: Callable[[Block], Result], size: int) -> Iterator[Result]:
        """A function of every block, in order, on as many threads as there may be: one pass."""
        return in_order(function, self.blocks(size))

    def sum(self, function: Callable[[Block], Sum], size: int) -> Sum:
        """Sum of a function of blocks over all rows, added in block order: one pass."""
        return reduce(add, self.map(function, size))


class ArraySource(Source):
    """The rows of an (N, D) array; of a small one a float64 copy, laid out as blocks are."""

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self.n_rows, self.n_features = rows.shape
        self.dtype = rows.dtype
        is_small = rows.size <= SMALL
        self._features = np.ascontiguousarray(rows.T, np.float64) if is_small else rows.T

    @property
    def block_dtype(self) -> np.dtype[Any]:
        return self._features.dtype

    def blocks(self, size: int) -> Iterator[Block]:
        for start in range(0, self.n_rows, size):
            yield Block(start, self._features[:, start : start + size])

    def sample(self, limit: int, random: np.random.RandomState) -> Array:
        if self.n_rows <= limit:
            return self.rows
        chosen = sample_without_replacement(  # the one way whose memory does not grow with n_rows
            self.n_rows, limit, method="reservoir_sampling", random_state=random
        )
        return self.rows[np.sort(chosen)]
