"""A chunk: what a worker does with its share of the rows. Nothing here knows who sends the work.

A `Work` travels to each worker once in a pass; what comes back is as small as the statistics. A
worker may have several threads of one process, each at a chunk of its own, so within a chunk there
is one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeVar

import numpy as np

from emgmm.sources.array import ArraySource
from emgmm.sources.block import Block
from emgmm.sources.conversion import as_rows, as_weights
from emgmm.sources.digest import Digested
from emgmm.sources.source import Rows
from emgmm.threads import one_blas_thread
from emgmm.typing import Array, Integers

Result = TypeVar("Result")

# Totals that are added up to one.
BRANCHES = 8


class ChunkError(ValueError):
    """A chunk that will not do: which one it is, and why, in one sentence."""


@dataclass(frozen=True)
class ChunkPosition:
    """Where a chunk stands among the others.

    Parameters
    ----------
    number : int
        Of the chunk, from 0.
    first : int, optional
        Number of its first row, where the lengths of the chunks before it are known.
    """

    number: int
    first: int | None

    def __str__(self) -> str:
        chunk = f"chunk {self.number} of X"
        return chunk if self.first is None else f"{chunk}, which begins with row {self.first},"

    @property
    def title(self) -> str:
        """The same at the beginning of a sentence."""
        return f"{str(self)[0].upper()}{str(self)[1:]}"

    def row(self, number: int) -> str:
        """What a row of the chunk is called."""
        if self.first is None:
            return f"row {number} of chunk {self.number}"
        return f"row {self.first + number}, in chunk {self.number}"


@dataclass(frozen=True, eq=False)
class Total:
    """What a chunk adds to a pass.

    Parameters
    ----------
    lengths : tuple of int
        Rows of each chunk.
    complete : bool
        Whether nothing is missing.
    counts : bool
        Whether there is any row with a weight above 0.
    sum : Any
        Of the function; None where none counts.
    """

    lengths: tuple[int, ...]
    complete: bool
    counts: bool
    sum: Any

    def __add__(self, other: Total) -> Total:
        later = other.sum
        if isinstance(later, Digested):
            later = later.after(sum(self.lengths))
        sums = [part for part in (self.sum, later) if part is not None]
        return Total(
            self.lengths + other.lengths,
            self.complete and other.complete,
            self.counts or other.counts,
            sums[0] + sums[1] if len(sums) == 2 else next(iter(sums), None),
        )


class Sums:
    """Totals of chunks, added up in an order that depends on the number of chunks alone.

    They are the leaves of a tree. A node is the sum of its children, `BRANCHES` of them, from the
    first to the last, and is computed as soon as all of them are there, by whichever task that is.

    Parameters
    ----------
    n_chunks : int
        How many there are.
    """

    def __init__(self, n_chunks: int) -> None:
        self._n_chunks = n_chunks
        self._nodes: dict[tuple[int, int], Total] = {}  # by level and number

    def insert(self, level: int, number: int, total: Total) -> None:
        """Insert a node, and its ancestors as far as their children are complete."""
        self._nodes[level, number] = total
        width = -(-self._n_chunks // BRANCHES**level)
        first = number - number % BRANCHES
        children = [(level, i) for i in range(first, min(first + BRANCHES, width))]
        if width > 1 and all(child in self._nodes for child in children):
            whole = reduce(add, [self._nodes.pop(child) for child in children])
            self.insert(level + 1, number // BRANCHES, whole)

    def update(self, other: Sums) -> None:
        """Insert the nodes of others."""
        for (level, number), total in other._nodes.items():
            self.insert(level, number, total)

    @property
    def root(self) -> Total:
        """The total of all chunks."""
        (total,) = self._nodes.values()
        return total


class ChunkSource(ArraySource):
    """The rows of one chunk, on one thread."""

    def map(self, function: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        return map(function, blocks)


@dataclass(frozen=True, eq=False)
class Layout:
    """What the rows of all chunks have in common.

    Parameters
    ----------
    dtype : dtype
        float64 or float32: what rows are converted to.
    n_features : int
        D.
    names : (D,) array of str, optional
        Of the features.
    """

    dtype: np.dtype[Any]
    n_features: int
    names: Array | None = None


@dataclass(frozen=True, eq=False)
class Work(ABC):
    """What is done with every chunk.

    Parameters
    ----------
    layout : Layout
        Of the chunks.
    """

    layout: Layout

    def __call__(self, place: ChunkPosition, rows: Any, weights: Any = None, *more: Any) -> Any:
        """Do it with one chunk: its place, its rows, and their weights.

        Raises
        ------
        ChunkError
            Where it will not do.
        """
        with one_blas_thread(), _named(place):
            return self.done(self._opened(rows, weights, place), *more)

    @abstractmethod
    def done(self, source: ChunkSource, *more: Any) -> Any:
        """Do it with the rows of one chunk."""

    def _opened(self, rows: Any, weights: Any, place: ChunkPosition) -> ChunkSource:
        values = as_rows(rows, ensure_min_samples=0)
        if values.shape[1] != self.layout.n_features:
            raise ChunkError(
                f"{place.title} has {values.shape[1]} features where X should have "
                f"{self.layout.n_features} (chunks and rows are counted from 0)."
            )
        with np.errstate(all="ignore"):  # what overflows becomes infinity, which is refused
            values = values.astype(self.layout.dtype, copy=False)
            total = values.sum(dtype=np.float64)
        complete = bool(np.isfinite(total)) or _has_all(values, place, self.layout.names)
        if weights is not None:
            weights = _checked(as_weights(weights), values, place)
        return ChunkSource(values, weights, complete=complete)


@contextmanager
def _named(place: ChunkPosition) -> Iterator[None]:
    try:
        yield
    except ChunkError:
        raise
    except Exception as error:
        raise ChunkError(failure(place, error)) from error


def failure(place: ChunkPosition, error: Exception) -> str:
    """The sentence about a chunk that raised."""
    return (
        f"{place.title} raised {type(error).__name__}: {error} (chunks and rows are counted from 0)"
    )


def _has_all(values: Array, place: ChunkPosition, names: Array | None) -> bool:
    """Whether nothing is NaN; infinity is an error."""
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        name = "" if names is None else f" ({names[column]!r})"
        raise ChunkError(
            f"Input X contains infinity or a value too large for {values.dtype!r}. The first is in "
            f"{place.row(row)}, column {column}{name}, counted from 0: drop such rows or fill them "
            "in."
        )
    return not np.isnan(values).any()


def _checked(weights: Array, values: Array, place: ChunkPosition) -> Array:
    """(B,) weights that are finite and not negative."""
    if weights.shape != (len(values),):
        raise ChunkError(
            f"sample_weight has the shape {weights.shape} in chunk {place.number}, counted from 0, "
            f"where X has {len(values)} rows: give one number for each, in the same chunks."
        )
    wrong = np.flatnonzero(np.logical_not(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ChunkError(
            f"sample_weight of {place.row(wrong[0])}, counted from 0, is {weights[wrong[0]]:g}; "
            "weights must be finite and not negative, and none may be masked: a weight of 0 leaves "
            "a row out."
        )
    return weights


@dataclass(frozen=True, eq=False)
class Summing(Work):
    """The sum of a function of blocks of at most `size` rows, in their order."""

    function: Callable[[Block], Any]
    size: int

    def done(self, source: ChunkSource, *more: Any) -> Total:  # noqa: ARG002
        counts = source.n_rows > 0 and (source.weights is None or bool(source.weights.any()))
        found = source.sum(self.function, self.size) if counts else None
        return Total((source.n_rows,), source.complete, counts, found)


@dataclass(frozen=True, eq=False)
class Choosing(Work):
    """Some rows, by their numbers in the chunk; all by default."""

    def done(self, source: ChunkSource, *more: Integers) -> Rows:
        numbers = more[0] if more else slice(None)
        weights = None if source.weights is None else source.weights[numbers]
        return Rows(source.rows[numbers], weights, source.complete)


@dataclass(frozen=True, eq=False)
class EachRow(Work):
    """The (B, *shape) function of blocks of at most `size` rows, put together."""

    function: Callable[[Block], Array]
    size: int
    shape: tuple[int, ...]
    result: np.dtype[Any]

    def done(self, source: ChunkSource, *more: Any) -> Array:  # noqa: ARG002
        return source.each_row(self.function, self.size, self.shape, self.result)


# -- tasks: functions that a graph names -----------------------------------------------------------
def run(work: Work, *arguments: Any) -> Any:
    """Work done with one chunk."""
    return work(*arguments)


def run_on_several(
    work: Work, n_chunks: int, places: list[ChunkPosition], *parts: list[Any]
) -> Sums:
    """Totals of the work done with each of some chunks: their places, rows and weights."""
    sums = Sums(n_chunks)
    for place, *own in zip(places, *parts, strict=True):
        sums.insert(0, place.number, work(place, *own))
    return sums


def run_on_block(
    rows: Any, work: Work, places: Sequence[ChunkPosition], block_id: tuple[int, ...]
) -> Array:
    """The same for a block of a Dask array, whose number Dask tells."""
    return work(places[block_id[0]], rows)


def merge(n_chunks: int, parts: list[Sums]) -> Sums:
    """Totals of several tasks together."""
    sums = Sums(n_chunks)
    for part in parts:
        sums.update(part)
    return sums


def rows_of_partition(frame: Any, columns: list[Any]) -> Array:
    """The array in a partition of a DataFrame, which must have the columns of the others."""
    own = list(frame.columns)
    if own != columns:
        raise ValueError(f"it has the columns {own} where X should have {columns}")
    return as_rows(frame, ensure_min_samples=0)


def touch(*parts: Any) -> None:
    """Nothing, of chunks that have to be made for it."""
