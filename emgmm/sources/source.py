"""The base class of data sources, and `Rows`, which are rows in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np

from emgmm.devices import Device
from emgmm.sources.block import Block
from emgmm.sources.known import LabelRules
from emgmm.threads import cached_property, in_order
from emgmm.tolerances import TINY
from emgmm.typing import Array, Integers


class Addable(Protocol):
    """Type of the values that a pass sums."""

    def __add__(self, other: Any, /) -> Any: ...


Sum = TypeVar("Sum", bound=Addable)
Result = TypeVar("Result")

# A function that returns a value, or several, for each row of a block.
PerRow = Callable[[Block], Array]

# Number of values per block of the first pass: half a megabyte, which fits into a core's cache.
SUMMARY_ENTRIES = 2**16

# Hint for a source of unknown length: a number of rows that justifies any preparatory work.
UNKNOWN_N_ROWS = 2**40


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in memory, with their weights, as initialization methods use them.

    Parameters
    ----------
    values : (n, D)
        Rows; NaN marks a missing value.
    weights : (n,) float64, optional
        Weight of each row; 1 by default.
    complete : bool
        Whether no value is missing.
    numbers : (n,) int, optional
        Numbers of the rows in the source from which they were sampled.
    total : int, optional
        Number of rows of that source.
    cache : dict
        Intermediate results of initialization methods that later calls reuse.
    """

    values: Array
    weights: Array | None = None
    complete: bool = True
    numbers: Integers | None = None
    total: int | None = None
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def mean(self) -> Array:
        """Weighted mean of the observed values of each feature, shape (D,)."""
        if self.complete and self.weights is None:
            return np.add.reduce(self.values, axis=0, dtype=np.float64) / len(self.values)
        weights = np.ones(len(self.values)) if self.weights is None else self.weights
        with np.errstate(under="ignore"):  # products that underflow are negligible
            if self.complete:
                return weights @ self.values / weights.sum()
            seen = np.logical_not(np.isnan(self.values))
            observed = np.maximum(weights @ seen, TINY)
            return weights @ np.where(seen, self.values, 0.0) / observed

    @cached_property
    def filled(self) -> Array:
        """Rows with missing values replaced by the mean, shape (n, D), for clustering methods."""
        if self.complete:
            return self.values
        return np.where(np.isnan(self.values), self.mean, self.values).astype(self.values.dtype)

    @cached_property
    def counts(self) -> Array | None:
        """Weights relative to their mean, shape (n,); None if all are 1.

        A row without any observed value has the weight 0.
        """
        if self.complete and self.weights is None:
            return None
        weights = np.ones(len(self.values)) if self.weights is None else self.weights
        if not self.complete:
            weights = weights * np.logical_not(np.isnan(self.values).all(axis=1))
        if not weights.any():
            return weights
        with np.errstate(under="ignore"):
            relative = weights / weights.max()
            return relative * (np.count_nonzero(weights) / relative.sum())

    @property
    def informative(self) -> Integers:
        """Indices of the rows with positive weight and at least one observed value, ascending."""
        return np.arange(len(self.values)) if self.counts is None else np.flatnonzero(self.counts)

    def choose(self, limit: int, random: np.random.RandomState) -> Integers:
        """Return the indices of the informative rows, or of `limit` of them chosen at random."""
        informative = self.informative
        return informative[sample_indices(len(informative), limit, random)]

    def take(self, numbers: slice | Integers) -> Rows:
        """Return the rows with the given indices."""
        weights = None if self.weights is None else self.weights[numbers]
        origin = None if self.numbers is None else self.numbers[numbers]
        return Rows(self.values[numbers], weights, self.complete, origin, self.total)

    @property
    def block(self) -> Block:
        """All rows as one block."""
        return Block(0, self.values.T, self.weights, self.complete)


def sample_indices(n_rows: int, limit: int, random: np.random.RandomState) -> Integers:
    """Return the ascending indices of a random sample of `limit` rows, or of all if fewer.

    The result depends on `random` and the number of rows only, so that all sources choose the same
    rows.
    """
    if n_rows <= limit:
        return np.arange(n_rows)
    if n_rows < 2 * limit:
        return np.delete(np.arange(n_rows), _distinct(n_rows, n_rows - limit, random))
    return _distinct(n_rows, limit, random)


def _distinct(n_rows: int, size: int, random: np.random.RandomState) -> Integers:
    """Draw distinct integers below `n_rows`, in ascending order; duplicates are redrawn.

    Time and memory do not depend on `n_rows`, unlike those of
    `sklearn.utils.random.sample_without_replacement`.
    """
    numbers = np.empty(0, dtype=np.int64)
    while len(numbers) < size:
        more = random.randint(n_rows, size=size - len(numbers), dtype=np.int64)
        numbers = np.sort(np.concatenate((numbers, more)))  # `numpy.unique` takes 60 times as long
        numbers = numbers[np.diff(numbers, prepend=-1) > 0]
    return numbers


def summary_rows(n_features: int, entries: int = SUMMARY_ENTRIES) -> int:
    """Return the number of rows per block of the first pass, for blocks of `entries` values."""
    return max(256, entries // n_features)


class Source(ABC):
    """Base class of data sources, which provide rows in blocks.

    Attributes
    ----------
    n_rows : int
        Number of rows, N. A source that has to count its rows does so in its first pass.
    n_features : int
        Number of features, D.
    dtype : dtype
        Type of the rows, float64 or float32.
    feature_names : (D,) array of str, optional
        Names of the features, if X has names that are all strings.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]
    feature_names: Array | None = None

    #: Device of the rows if they are an array of another library.
    device: Device | None = None

    #: Whether blocks carry what is known of the components of their rows.
    has_labels = False

    #: Whether the blocks that `each_row` processes know their row numbers.
    knows_positions = True

    @property
    def n_rows_hint(self) -> int:
        """Number of rows, or `UNKNOWN_N_ROWS` if only a pass could determine it."""
        return self.n_rows

    @property
    def summary_rows(self) -> int:
        """Number of rows per block of the first pass."""
        return summary_rows(self.n_features)

    @property
    def block_dtype(self) -> np.dtype[Any]:
        """Type of the rows in blocks, at least as precise as `dtype`."""
        return self.dtype

    @classmethod
    def accepts(cls, X: Any) -> bool:  # noqa: ARG003
        """Whether this source reads objects such as X. Implementations import no other library."""
        return False

    @classmethod
    def of(cls, X: Any, sample_weight: Any) -> Source:
        """Return the source for an X that it accepts, with the weights of the rows.

        Raises
        ------
        ValueError
            If X or the weights cannot be read, or if they are inconsistent.
        """
        return cls(X, sample_weight)  # type: ignore[call-arg]

    def attach_labels(self, labels: Any, rules: LabelRules) -> None:  # noqa: ARG002
        """Let the blocks of the following passes carry what is known of their rows.

        Raises
        ------
        ValueError
            If the labels are invalid, or if there is not one for each row; a source that reads its
            rows in every pass notices this only then.
        """
        raise TypeError(f"{type(self).__name__} does not support labels: give X as an array.")

    @abstractmethod
    def blocks(self, size: int) -> Iterator[Block]:
        """Yield all rows in blocks of at most `size` rows."""

    @abstractmethod
    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        """Return the rows that `sample_indices` chooses."""

    def each_row(self, function: PerRow, size: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return the values of a (B, *shape) function of blocks, in the order of the rows."""
        out = np.empty((self.n_rows, *shape), dtype=dtype)
        self._fill(out, function, self.blocks(size), 0)
        return out

    def _fill(self, out: Array, function: PerRow, blocks: Iterable[Block], first: int) -> None:
        """Store the values of a function in an array whose first row has the number `first`."""

        def fill(block: Block) -> None:
            with np.errstate(over="ignore"):  # values beyond the range of single precision
                out[block.place_from(first)] = function(block)

        deque(self.map(fill, blocks), maxlen=0)

    def map(self, function: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """Yield the function of each block in order, computed by several threads: one pass."""
        return in_order(function, blocks)

    def sum(self, function: Callable[[Block], Sum], size: int) -> Sum:
        """Return the sum of a function of blocks without rows of weight 0, in order: one pass."""
        parts = (block.without_zero_weights for block in self.blocks(size))
        return reduce(add, self.map(function, (part for part in parts if part.n_rows)))
