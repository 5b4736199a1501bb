"""Rows of a two-dimensional array that is not in memory, and never comes there whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from emgmm.sources.conversion import as_rows
from emgmm.sources.cut import ENTRIES, Cut, is_sliceable
from emgmm.sources.streamed import StreamedSource
from emgmm.sources.weights import check_length, in_slices, weighed
from emgmm.tolerances import FLOATS
from emgmm.typing import Array


def slabs(array: Any, size: int) -> Iterator[Array]:
    """Its rows, by slices of a multiple of `size`, or of the chunks in which they are stored."""
    n_rows, n_features = array.shape
    entries = max(1, ENTRIES // max(1, n_features))
    chunk = (getattr(array, "chunks", None) or (size,))[0]
    unit = chunk if size < chunk <= 8 * entries else min(size, entries)
    step = max(1, entries // unit) * unit
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        rows = as_rows(array[start:stop], ensure_min_samples=0)
        if rows.shape != (stop - start, n_features):
            raise ValueError(
                f"X has the shape {tuple(array.shape)}, but its rows {start} to {stop - 1} came "
                f"with the shape {rows.shape}."
            )
        yield rows


class SlicedSource(StreamedSource):
    """The rows of an (N, D) array that is read by slices.

    Parameters
    ----------
    array : (N, D)
        Whatever has `shape`, `ndim`, `dtype` and slices: ``numpy.memmap``, ``h5py.Dataset``,
        ``zarr.Array``.
    sample_weight : array-like of shape (N,), optional
        What each row counts; 1 by default.
    """

    def __init__(self, array: Any, sample_weight: Any = None) -> None:
        self.array = array
        self.n_rows = array.shape[0]
        self.weights = None if sample_weight is None else in_slices(sample_weight)
        if self.weights is not None:
            check_length(self.weights, self.n_rows)
        dtype = array.dtype if array.dtype in FLOATS else FLOATS[0]
        super().__init__(array.shape[1], np.dtype(dtype))

    @classmethod
    def accepts(cls, X: Any) -> bool:
        elsewhere = not isinstance(X, np.ndarray) and not hasattr(X, "__array_namespace__")
        return (elsewhere or isinstance(X, np.memmap)) and is_sliceable(X, 2)

    @classmethod
    def of(cls, X: Any, sample_weight: Any) -> SlicedSource:
        return cls(X, sample_weight)

    def read(self, size: int) -> Iterator[Cut]:
        cuts = map(Cut, slabs(self.array, size))
        return cuts if self.weights is None else weighed(cuts, self.weights)
