"""Computations on one chunk of a Dask array, independent of Dask.

In each pass a `Work` is sent to every worker once, and the results are as small as the statistics.
A worker may process several chunks in parallel threads, so each chunk is processed by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeVar

import numpy as np

from emgmm.sources.array import ArraySource
from emgmm.sources.block import Block
from emgmm.sources.conversion import as_rows, as_weights
from emgmm.sources.finite import is_complete
from emgmm.sources.known import LabelRules
from emgmm.sources.source import Rows
from emgmm.sources.weights import check_length, check_values
from emgmm.summary import DataSummary
from emgmm.threads import one_blas_thread
from emgmm.typing import Array, Integers

Result = TypeVar("Result")

# Number of totals that are added at a time.
BRANCHES = 8


class ChunkError(ValueError):
    """Error that names the chunk whose rows or weights are invalid."""


@dataclass(frozen=True)
class ChunkPosition:
    """Position of a chunk among all chunks.

    Parameters
    ----------
    number : int
        Number of the chunk, counted from 0.
    first : int, optional
        Number of its first row, if the lengths of all preceding chunks are known.
    """

    number: int
    first: int | None

    def __str__(self) -> str:
        """Describe the chunk at the beginning of a sentence."""
        chunk = f"Chunk {self.number} of X"
        return chunk if self.first is None else f"{chunk}, which begins with row {self.first},"

    def row_name(self, index: int) -> str:
        """Return the name of a row of the chunk in error messages."""
        if self.first is None:
            return f"row {index} of chunk {self.number}"
        return f"row {self.first + index}, in chunk {self.number}"


@dataclass(frozen=True, eq=False)
class Total:
    """Result of a pass over some chunks.

    Parameters
    ----------
    lengths : tuple of int
        Number of rows of each chunk.
    complete : bool
        Whether no value is missing.
    sum : Any
        Sum of the function; None if no row has a positive weight.
    """

    lengths: tuple[int, ...]
    complete: bool
    sum: Any

    def __add__(self, other: Total) -> Total:
        later = other.sum
        if isinstance(later, DataSummary):
            later = later.after(sum(self.lengths))
        sums = [part for part in (self.sum, later) if part is not None]
        return Total(
            self.lengths + other.lengths,
            self.complete and other.complete,
            sums[0] + sums[1] if len(sums) == 2 else next(iter(sums), None),
        )


class Sums:
    """Totals of chunks, added in an order that depends on the number of chunks only.

    The totals are the leaves of a tree. A node is the sum of its `BRANCHES` children in order. The
    task that completes the children computes it.

    Parameters
    ----------
    n_chunks : int
        Number of chunks.
    """

    def __init__(self, n_chunks: int) -> None:
        self._n_chunks = n_chunks
        self.nodes: dict[tuple[int, int], Total] = {}  # by level and number

    def insert(self, level: int, number: int, total: Total) -> None:
        """Insert a node, and those of its ancestors whose children are then complete."""
        self.nodes[level, number] = total
        width = -(-self._n_chunks // BRANCHES**level)
        first = number - number % BRANCHES
        children = [(level, i) for i in range(first, min(first + BRANCHES, width))]
        if width > 1 and all(child in self.nodes for child in children):
            parent = reduce(add, [self.nodes.pop(child) for child in children])
            self.insert(level + 1, number // BRANCHES, parent)

    @property
    def root(self) -> Total:
        """Total of all chunks."""
        (total,) = self.nodes.values()
        return total


class ChunkSource(ArraySource):
    """Rows of one chunk, processed by one thread."""

    def map(self, function: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        return map(function, blocks)

    def take(self, numbers: slice | Integers) -> Rows:
        """Return the rows with the given indices."""
        return Rows(self.rows, self.weights, self.complete).take(numbers)

    def total(self, function: Callable[[Block], Any], size: int) -> Total:
        """Return the total of a function of blocks of at most `size` rows."""
        any_positive = self.n_rows > 0 and (self.weights is None or self.weights.any())
        result = self.sum(function, size) if any_positive else None
        return Total((self.n_rows,), self.complete, result)


@dataclass(frozen=True, eq=False)
class Work:
    """A computation on every chunk, or on some of them.

    Parameters
    ----------
    compute : callable
        Function of the source of a chunk and of further arguments that depend on the chunk.
    dtype : dtype
        Type that rows are converted to, float64 or float32.
    n_features : int
        Number of features, D.
    names : (D,) array of str, optional
        Names of the features.
    rules : LabelRules, optional
        Meaning of the labels.
    """

    compute: Callable[..., Any]
    dtype: np.dtype[Any]
    n_features: int
    names: Array | None = None
    rules: LabelRules | None = None

    def __call__(
        self,
        position: ChunkPosition,
        rows: Any,
        weights: Any = None,
        labels: Any = None,
        *more: Any,
    ) -> Any:
        """Return the result for a chunk, given its position, its rows, their weights and labels.

        Raises
        ------
        ChunkError
            If the rows, weights or labels are invalid, or if the computation fails.
        """
        try:
            with one_blas_thread():
                return self.compute(self._source(rows, weights, labels, position), *more)
        except ChunkError:
            raise
        except Exception as error:
            raise ChunkError(failure(position, error)) from error

    def _source(self, rows: Any, weights: Any, labels: Any, position: ChunkPosition) -> ChunkSource:
        values = as_rows(rows, ensure_min_samples=0)
        if values.shape[1] != self.n_features:
            raise ChunkError(
                f"{position} has {values.shape[1]} features where X should have {self.n_features} "
                "(chunks and rows are counted from 0)."
            )
        with np.errstate(all="ignore"):  # overflow gives infinity, which is rejected
            values = values.astype(self.dtype, copy=False)
        weights = None if weights is None else as_weights(weights)
        try:
            complete = is_complete(values, self.names, position.row_name)
            if weights is not None:
                owner = f"chunk {position.number} of X, counted from 0,"
                check_length(weights, len(values), owner)
                check_values(weights, position.row_name)
            source = ChunkSource(values, weights, complete=complete)
            if labels is not None and self.rules is not None:
                source.attach_labels(labels, self.rules, position.row_name)
        except ValueError as error:  # its message names the chunk already
            raise ChunkError(str(error)) from error
        return source


def failure(position: ChunkPosition, error: Exception) -> str:
    """Return the message about an error that a chunk raised."""
    return f"{position} raised {type(error).__name__}: {error} (chunks and rows are counted from 0)"


# -- tasks: functions that a graph names -----------------------------------------------------------
def sum_chunks(
    work: Work, n_chunks: int, positions: list[ChunkPosition], *parts: list[Any]
) -> Sums:
    """Return the totals of several chunks, given their positions, rows and weights."""
    sums = Sums(n_chunks)
    for position, *own in zip(positions, *parts, strict=True):
        sums.insert(0, position.number, work(position, *own))
    return sums


def process_block(
    rows: Any, work: Work, positions: Sequence[ChunkPosition], block_id: tuple[int, ...]
) -> Array:
    """Return the results for a block in `dask.array.map_blocks`, which passes its `block_id`.

    One number per row is a column.
    """
    result: Array = work(positions[block_id[0]], rows)
    return result[:, None] if result.ndim == 1 else result


def merge(n_chunks: int, parts: list[Sums]) -> Sums:
    """Merge the totals of several tasks."""
    sums = Sums(n_chunks)
    for part in parts:
        for (level, number), total in part.nodes.items():
            sums.insert(level, number, total)
    return sums


def rows_of_partition(frame: Any, columns: list[Any]) -> Array:
    """Return a partition of a DataFrame as an array, after checking its columns."""
    own = list(frame.columns)
    if own != columns:
        raise ValueError(f"it has the columns {own} where X should have {columns}")
    return as_rows(frame, ensure_min_samples=0)


def touch(*parts: Any) -> None:
    """Do nothing; the scheduler computes the chunks that are passed as arguments."""
