"""The source of the rows of a Dask array or DataFrame, whose chunks the workers sum in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isnan
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np

from emgmm.sources.array import ArraySource
from emgmm.sources.block import Block
from emgmm.sources.conversion import as_weights, check_no_times
from emgmm.sources.dask.chunk import ChunkSource, Work, process_block, rows_of_partition
from emgmm.sources.dask.graph import Chunks, has_known_lengths
from emgmm.sources.known import LabelRules, as_labels, check_number
from emgmm.sources.source import UNKNOWN_N_ROWS, PerRow, Rows, Source, Sum, sample_indices
from emgmm.sources.tables import as_names
from emgmm.sources.weights import check_any_positive, check_length
from emgmm.typing import Array

# Block size that leaves every chunk undivided.
UNDIVIDED = 2**62


class ClusterSource(Source):
    """Rows of an (N, D) Dask array whose chunks hold whole rows.

    Parameters
    ----------
    rows : dask Array
        Rows; the lengths of the chunks may be unknown.
    weights : dask Array, optional
        Weight of each row, in the same chunks.
    feature_names : (D,) array of str, optional
        Names of the features, if the array was made from a DataFrame.
    """

    knows_positions = False
    n_rows_hint = UNKNOWN_N_ROWS

    def __init__(self, rows: Any, weights: Any = None, feature_names: Array | None = None) -> None:
        self.rows = rows
        self.feature_names = feature_names
        self.n_features = rows.shape[1]
        self.dtype = np.dtype(np.float32 if rows.dtype == np.float32 else np.float64)
        self.weights = weights
        self._chunks = Chunks(rows, weights)
        self._rules: LabelRules | None = None
        self._complete: bool | None = None  # unknown before the first pass

    @classmethod
    def accepts(cls, X: Any) -> bool:
        return type(X).__module__.partition(".")[0] in {"dask", "dask_expr"}

    @classmethod
    def of(cls, X: Any, sample_weight: Any) -> ClusterSource:
        rows = _array(X, "X")
        if rows.ndim != 2 or isnan(rows.shape[1]) or rows.shape[1] < 1:
            raise ValueError(
                f"Expected 2D array, got a Dask {type(X).__name__} of shape {rows.shape} instead: "
                "give rows with a known number of features, at least one."
            )
        rows = rows.rechunk({1: -1})
        weights = None if sample_weight is None else _weights_beside(sample_weight, rows)
        columns = getattr(X, "columns", None)
        return cls(rows, weights, None if columns is None else as_names(list(columns)))

    def attach_labels(self, labels: Any, rules: LabelRules) -> None:
        beside = _labels_beside(labels, self.rows, rules)
        self._chunks = Chunks(self.rows, self.weights, beside)
        self._rules, self.has_labels = rules, True

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of rows of each chunk; it takes a pass if Dask does not know them."""
        if self._chunks.lengths is None:
            self._inspect()
        assert self._chunks.lengths is not None
        return self._chunks.lengths

    @property
    def n_rows(self) -> int:  # type: ignore[override]
        return sum(self.lengths)

    def _inspect(self) -> None:
        """Determine by a pass the lengths of the chunks and whether values are missing."""
        self.sum(attrgetter("weight"), UNDIVIDED)

    def sum(self, function: Callable[[Block], Sum], size: int) -> Sum:
        total = self._chunks.total(self._work(methodcaller("total", function, size)))
        lengths = zip(total.lengths, self._chunks.lengths or total.lengths, strict=True)
        for number, (length, known) in enumerate(lengths):
            if length != known:
                raise ValueError(
                    f"Chunk {number} of X, counted from 0, has {length} rows where it should have "
                    f"{known}: X must give the same rows in every pass over it."
                )
        if not sum(total.lengths):
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {self.n_features})) while a minimum of 1 "
                "is required: every chunk of X is empty."
            )
        check_any_positive(total.sum is not None)
        self._chunks.lengths, self._complete = total.lengths, total.complete
        return total.sum

    def _work(self, compute: Callable[..., Any]) -> Work:
        return Work(compute, self.dtype, self.n_features, self.feature_names, self._rules)

    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        if self._complete is None:
            self._inspect()
        numbers = sample_indices(self.n_rows, limit, random)
        firsts = np.cumsum((0, *self.lengths[:-1]))
        by_chunk = np.split(numbers, np.searchsorted(numbers, firsts)[1:])
        selections = {i: own - firsts[i] for i, own in enumerate(by_chunk) if len(own)}
        parts: list[Rows] = self._chunks.each(self._work(ChunkSource.take), selections)
        values = np.concatenate([part.values for part in parts])
        given = [part.weights for part in parts if part.weights is not None]
        weights = np.concatenate(given) if given else None
        return Rows(values, weights, bool(self._complete), numbers, self.n_rows)

    def each_row(self, function: PerRow, size: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a lazy Dask array in the chunks of the rows."""
        from dask import delayed

        # Dask would join the blocks along an axis that it drops before their rows are validated.
        wide = shape or (1,)
        work = self._work(methodcaller("each_row", function, size, shape, dtype))
        answers = self.rows.map_blocks(
            process_block,
            work=delayed(work, traverse=False),  # one value of the graph, not a copy in each task
            positions=delayed(self._chunks.positions, traverse=False),
            chunks=(self.rows.chunks[0], *((length,) for length in wide)),
            dtype=dtype,
            meta=np.empty((0, *wide), dtype),
        )
        return answers if shape else answers[:, 0]

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield all rows, transferred to this process chunk by chunk."""
        start, work = 0, self._work(ChunkSource.take)
        for number in range(len(self._chunks)):
            rows: Rows = self._chunks.each(work, {number: slice(None)})[0]
            for block in ArraySource(rows.values, rows.weights).blocks(size):
                yield Block(start + block.start, block.rows, block.weights, rows.complete)
            start += len(rows.values)


def _array(collection: Any, name: str) -> Any:
    """Return a Dask array, DataFrame or Series as a Dask array."""
    if hasattr(collection, "to_dask_array"):
        check_no_times(collection._meta, name)
        if collection.ndim == 1:
            return collection.map_partitions(as_weights, meta=np.empty(0))
        single = all(dtype == np.float32 for dtype in collection.dtypes)
        meta = np.empty((0, len(collection.columns)), np.float32 if single else np.float64)
        columns = list(collection.columns)
        return collection.map_partitions(rows_of_partition, columns, meta=meta)
    if not hasattr(collection, "map_blocks"):
        raise TypeError(
            f"{name} is a Dask {type(collection).__name__}: give a Dask array or DataFrame."
        )
    if collection.dtype.kind not in "biufO":
        raise ValueError(f"{name} has the type {collection.dtype}: give real numbers.")
    return collection


def _weights_beside(sample_weight: Any, rows: Any) -> Any:
    """Return weights as a Dask array in the chunks of the rows."""
    import dask.array

    if ClusterSource.accepts(sample_weight):
        weights = _array(sample_weight, "sample_weight")
    else:
        weights = dask.array.from_array(as_weights(sample_weight))
    if weights.ndim != 1:
        raise ValueError(
            f"sample_weight has the shape {weights.shape}: give one number for each row."
        )
    if not has_known_lengths(weights):
        if len(weights.chunks[0]) != len(rows.chunks[0]):
            raise ValueError(
                f"sample_weight has {len(weights.chunks[0])} chunks of unknown sizes and X has "
                f"{len(rows.chunks[0])} chunks: call compute_chunk_sizes() on both."
            )
        return weights  # the lengths are checked chunk by chunk
    lengths = ClusterSource(rows).lengths
    check_length(weights, sum(lengths))
    return weights.rechunk((lengths,))


def _labels_beside(labels: Any, rows: Any, rules: LabelRules) -> Any:
    """Return labels or responsibilities as a Dask array in the chunks of the rows."""
    import dask.array

    if not ClusterSource.accepts(labels):
        rules(labels)
        labels = dask.array.from_array(as_labels(labels))
    elif hasattr(labels, "to_dask_array"):
        labels = labels.to_dask_array()
    if has_known_lengths(labels):
        lengths = ClusterSource(rows).lengths
        check_number(len(labels), sum(lengths))
        return labels.rechunk((lengths, *[-1] * (labels.ndim - 1)))
    if len(labels.chunks[0]) != len(rows.chunks[0]):
        raise ValueError(
            f"labels has {len(labels.chunks[0])} chunks of unknown sizes and X has "
            f"{len(rows.chunks[0])} chunks: call compute_chunk_sizes() on both."
        )
    return labels  # the lengths are checked chunk by chunk
