"""The source of the rows of a two-dimensional array that is read by slices, such as a memmap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from emgmm.sources.conversion import as_rows
from emgmm.sources.row_group import ENTRIES, RowGroup, is_sliceable
from emgmm.sources.streamed import StreamedSource
from emgmm.sources.weights import attach_weights, check_length, sliceable_weights
from emgmm.tolerances import FLOATS
from emgmm.typing import Array


def read_slices(array: Any, size: int) -> Iterator[Array]:
    """Yield the rows in slices whose length is a multiple of `size` or of the stored chunks'."""
    n_rows, n_features = array.shape
    entries = max(1, ENTRIES // max(1, n_features))
    chunk = (getattr(array, "chunks", None) or (size,))[0]
    unit = chunk if size < chunk <= 8 * entries else min(size, entries)
    length = max(1, entries // unit) * unit
    for start in range(0, n_rows, length):
        stop = min(start + length, n_rows)
        rows = as_rows(array[start:stop], ensure_min_samples=0)
        if rows.shape != (stop - start, n_features):
            raise ValueError(
                f"X has the shape {tuple(array.shape)}, but the slice of its rows {start} to "
                f"{stop - 1} has the shape {rows.shape}."
            )
        yield rows


class SlicedSource(StreamedSource):
    """Rows of an (N, D) array that is read by slices.

    Parameters
    ----------
    array : (N, D)
        Object with `shape`, `ndim` and `dtype` that supports slicing, such as ``numpy.memmap``,
        ``h5py.Dataset`` or ``zarr.Array``.
    sample_weight : array-like of shape (N,), optional
        Weight of each row; 1 by default.
    """

    def __init__(self, array: Any, sample_weight: Any = None) -> None:
        self.array = array
        self.n_rows = array.shape[0]
        self.weights = None if sample_weight is None else sliceable_weights(sample_weight)
        if self.weights is not None:
            check_length(self.weights, self.n_rows)
        dtype = array.dtype if array.dtype in FLOATS else FLOATS[0]
        super().__init__(array.shape[1], np.dtype(dtype))

    @classmethod
    def accepts(cls, X: Any) -> bool:
        on_disk = not isinstance(X, np.ndarray) and not hasattr(X, "__array_namespace__")
        return (on_disk or isinstance(X, np.memmap)) and is_sliceable(X, 2)

    def read(self, size: int) -> Iterator[RowGroup]:
        groups = map(RowGroup, read_slices(self.array, size))
        return groups if self.weights is None else attach_weights(groups, self.weights)
