"""Sources: where rows come from, in blocks. A source sums a function over rows, and knows no EM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np

from emgmm.block import Block
from emgmm.typing import Array


class Addable(Protocol):
    """Whatever a pass adds up."""

    def __add__(self, other: Any, /) -> Any: ...


Sum = TypeVar("Sum", bound=Addable)


class Source(ABC):
    """Rows in blocks."""

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Block]:
        """All rows, in order, at most `size` at a time."""

    @abstractmethod
    def sample(self, limit: int, random: np.random.RandomState) -> Array:
        """(n, D) rows that stand for all: every row up to `limit`, a random choice beyond it.

        The choice is of row numbers, so that it depends on `random` and the number of rows only.
        """

    def sum(self, function: Callable[[Block], Sum], size: int) -> Sum:
        """Sum of a function of blocks over all rows, added in block order: one pass."""
        return reduce(add, map(function, self.blocks(size)))


class ArraySource(Source):
    """The rows of an (N, D) array."""

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self.n_rows, self.n_features = rows.shape
        self.dtype = rows.dtype

    def blocks(self, size: int) -> Iterator[Block]:
        for start in range(0, self.n_rows, size):
            yield Block(start, self.rows[start : start + size].T)

    def sample(self, limit: int, random: np.random.RandomState) -> Array:
        if self.n_rows <= limit:
            return self.rows
        chosen = random.choice(self.n_rows, size=limit, replace=False)
        return self.rows[np.sort(chosen)]
