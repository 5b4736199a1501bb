"""What a source is: rows in blocks, and what can be done with all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np

from emgmm.sources.block import Block
from emgmm.threads import cached_property, in_order
from emgmm.typing import Array, Integers


class Addable(Protocol):
    """Whatever a pass adds up."""

    def __add__(self, other: Any, /) -> Any: ...


Sum = TypeVar("Sum", bound=Addable)
Result = TypeVar("Result")


# Of a source that has not been counted: enough for whatever pays with many rows only.
MANY = 2**40


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows in memory, as a start looks at them.

    Parameters
    ----------
    values : (n, D)
        The rows; NaN where something is missing.
    weights : (n,) float64, optional
        What each counts; 1 by default.
    complete : bool
        Whether nothing is missing.
    cache : dict
        What a start has found in these rows and may be asked for again, by its type.
    """

    values: Array
    weights: Array | None = None
    complete: bool = True
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def mean(self) -> Array:
        """(D,): the weighted mean of what was observed."""
        if self.complete and self.weights is None:
            return self.values.mean(axis=0, dtype=np.float64)
        shares = np.ones(len(self.values)) if self.weights is None else self.weights
        with np.errstate(under="ignore"):  # of tiny weights or values, which then do not count
            if self.complete:
                return shares @ self.values / shares.sum()
            seen = np.logical_not(np.isnan(self.values))
            observed = np.maximum(shares @ seen, np.finfo(float).tiny)
            return shares @ np.where(seen, self.values, 0.0) / observed

    @cached_property
    def filled(self) -> Array:
        """(n, D): the rows with the mean in place of what is missing: good enough to label them."""
        if self.complete:
            return self.values
        return np.where(np.isnan(self.values), self.mean, self.values).astype(self.values.dtype)

    @cached_property
    def counts(self) -> Array | None:
        """(n,): weights in units of their mean, 0 for rows that tell nothing; None if all are 1."""
        if self.complete and self.weights is None:
            return None
        weights = np.ones(len(self.values)) if self.weights is None else self.weights
        if not self.complete:
            weights = weights * np.logical_not(np.isnan(self.values).all(axis=1))
        if not weights.any():
            return weights
        with np.errstate(under="ignore"):
            shares = weights / weights.max()
            return shares * (np.count_nonzero(weights) / shares.sum())

    @property
    def informative(self) -> Integers:
        """Numbers of the rows that have a weight above 0 and something observed, in their order."""
        return np.arange(len(self.values)) if self.counts is None else np.flatnonzero(self.counts)

    def choose(self, limit: int, random: np.random.RandomState) -> Integers:
        """Numbers of the rows that count, in their order; of more than `limit` a random choice."""
        informative = self.informative
        return informative[sample_indices(len(informative), limit, random)]

    def take(self, numbers: Integers) -> Rows:
        """Those of the rows that have these numbers."""
        weights = None if self.weights is None else self.weights[numbers]
        return Rows(self.values[numbers], weights, self.complete)

    @property
    def block(self) -> Block:
        """All of them."""
        return Block(0, self.values.T, self.weights, self.complete)


def sample_indices(n_rows: int, limit: int, random: np.random.RandomState) -> Integers:
    """Numbers of the rows that stand for all, in their order: all up to `limit`, or as many.

    They depend on `random` and the number of rows only, so that every source chooses the same.
    """
    if n_rows <= limit:
        return np.arange(n_rows)
    if n_rows < 2 * limit:
        return np.delete(np.arange(n_rows), _distinct(n_rows, n_rows - limit, random))
    return _distinct(n_rows, limit, random)


def _distinct(n_rows: int, size: int, random: np.random.RandomState) -> Integers:
    """Distinct numbers below `n_rows`, in order: what was drawn before is drawn again.

    Neither time nor memory grows with `n_rows`; scikit-learn's function takes minutes for 1e8.
    """
    numbers = np.empty(0, dtype=np.int64)
    while len(numbers) < size:
        more = random.randint(n_rows, size=size - len(numbers), dtype=np.int64)
        numbers = np.union1d(numbers, more)
    return numbers


class Source(ABC):
    """Rows in blocks.

    Attributes
    ----------
    n_rows : int
        Their number, N. A source that has to count them does so in its first pass.
    n_features : int
        D.
    dtype : dtype
        float64 or float32.
    feature_names : (D,) array of str, optional
        Where X has names for its features.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]
    feature_names: Array | None = None

    #: Whether the blocks of `each_row` say where they stand among all rows.
    knows_positions = True

    @property
    def n_rows_hint(self) -> int:
        """How many rows there are, as far as is known without a pass."""
        return self.n_rows

    @property
    def block_dtype(self) -> np.dtype[Any]:
        """What the rows of blocks are held in; at least as precise as the rows themselves."""
        return self.dtype

    @classmethod
    def accepts(cls, X: Any) -> bool:  # noqa: ARG003
        """Whether X is of this source's own kind; asking imports nothing."""
        return False

    @classmethod
    def of(cls, X: Any, sample_weight: Any) -> Source:  # noqa: ARG003
        """The source of such an X and the weights of its rows.

        Raises
        ------
        ValueError
            Where they cannot be read, or do not go together.
        """
        raise TypeError(f"{cls.__name__} is not opened from {type(X).__name__}")

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Block]:
        """All rows, at most `size` at a time."""

    @abstractmethod
    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        """The rows that stand for all, those of `sample_indices`."""

    def each_row(
        self, function: Callable[[Block], Array], size: int, shape: tuple[int, ...], dtype: Any
    ) -> Any:
        """The (B, *shape) function of every block, put together in the order of the rows."""
        out = np.empty((self.n_rows, *shape), dtype=dtype)

        def fill(block: Block) -> None:
            with np.errstate(over="ignore"):  # beyond the range of single precision
                out[block.place] = function(block)

        for _ in self.map(fill, self.blocks(size)):
            pass
        return out

    def map(self, function: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """A function of every block, in order, on as many threads as there may be: one pass."""
        return in_order(function, blocks)

    def sum(self, function: Callable[[Block], Sum], size: int) -> Sum:
        """Sum of a function of blocks over the rows that count, added in block order: one pass."""
        return reduce(add, self.map(function, without_zero_weights(self.blocks(size))))


def without_zero_weights(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks without their rows of weight 0; those that have no others are left out."""
    return (
        block for block in (each.without_zero_weights for each in blocks) if block.rows.shape[1]
    )
