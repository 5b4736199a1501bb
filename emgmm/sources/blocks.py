"""`blocks`: data sets of any origin that are read block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

from emgmm.sources.conversion import as_rows, as_weights
from emgmm.sources.frames import evaluated
from emgmm.sources.known import as_labels
from emgmm.sources.parquet import batches, open_dataset
from emgmm.sources.row_group import ENTRIES, RowGroup, is_sliceable
from emgmm.sources.sliced import read_slices
from emgmm.sources.tables import (
    as_names,
    column_labels,
    is_number,
    n_columns,
    resolve_columns,
    select,
)
from emgmm.typing import Array

ONCE = (
    "which can be read only once, and EM reads all rows in every iteration. Pass a function that "
    "returns a new one each time: blocks(lambda: read(path)), not blocks(read(path))."
)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows in blocks that can be read repeatedly; `blocks` creates such objects.

    Parameters
    ----------
    opened : callable
        Function that returns an iterable of all blocks: two-dimensional arrays or tables.
    columns : list of str or int, optional
        Columns of the features; all columns by default.
    weight_column : str or int, optional
        Column of the weights.
    block_rows : int, optional
        Maximum number of rows per block; larger blocks are divided.
    """

    opened: Callable[[], Iterable[Any]]
    columns: list[Any] | None = None
    weight_column: Any = None
    block_rows: int | None = None

    def __iter__(self) -> Iterator[Array]:
        """Yield an array of shape (rows, n_features) for each block."""
        return (group.rows for group in self.read())

    def read(self) -> Iterator[RowGroup]:
        """Yield the rows of each block."""
        return self._read(self._rows)

    def read_weights(self) -> Iterator[RowGroup]:
        """Yield the weights in each block, which must be one-dimensional or have one column."""
        return self._read(self._weights)

    def read_labels(self) -> Iterator[RowGroup]:
        """Yield the labels in each block, one-dimensional or one column, or responsibilities."""
        return self._read(self._labels)

    def _read(self, convert: Callable[[Any], RowGroup]) -> Iterator[RowGroup]:
        number = 0
        raws = iter(self.opened())
        try:
            for raw in raws:
                try:
                    group = convert(evaluated(raw))
                except (TypeError, ValueError) as error:
                    kind = TypeError if isinstance(error, TypeError) else ValueError
                    raise kind(f"Block {number}, counted from 0: {error}") from error
                size = self.block_rows or max(1, len(group))
                for at in range(0, max(1, len(group)), size):
                    yield group.part(slice(at, at + size))
                    number += 1
        finally:
            if hasattr(raws, "close"):  # releases a generator's file if not all of it was read
                raws.close()

    def _rows(self, raw: Any) -> RowGroup:
        labels = column_labels(raw)
        raw = as_rows(raw, ensure_min_samples=0) if labels is None else raw
        width = n_columns(raw)
        features, weights = resolve_columns(self.columns, self.weight_column, labels, width)
        return RowGroup(
            as_rows(select(raw, features), ensure_min_samples=0),
            None if weights is None else as_weights(select(raw, [weights])).ravel(),
            None if labels is None else as_names([labels[feature] for feature in features]),
        )

    def _labels(self, raw: Any) -> RowGroup:
        array = as_labels(self._selected(raw))
        return RowGroup(array[:, 0] if array.shape[1:] == (1,) else array)

    def _selected(self, raw: Any) -> Any:
        """Return the columns of a block that are used."""
        labels = column_labels(raw)
        if labels is None and self.columns is None:
            return raw
        return select(raw, resolve_columns(self.columns, None, labels, n_columns(raw))[0])

    def _weights(self, raw: Any) -> RowGroup:
        array = as_weights(self._selected(raw))
        if array.ndim > 1 and array.shape[1:] != (1,):
            raise ValueError(f"sample_weight has the shape {array.shape}; it must be one column.")
        return RowGroup(array.reshape(-1, 1))


def blocks(
    source: Any, *, columns: Any = None, weight_column: Any = None, block_rows: Any = None
) -> Blocks:
    """Make an X of rows that are read block by block, for data that do not fit in memory.

    Every pass of EM reads all blocks anew, one at a time, and does not retain them. With the same
    `random_state` the fit is the same as for an array of these rows. For such an X, ``predict`` and
    the other methods with one result per row return an iterator of arrays, one for each block.

    Parameters
    ----------
    source : re-iterable, callable, path, dataset or array
        One of:

        - a sequence of blocks, or another iterable that yields all blocks each time it is iterated
          over: array-likes of shape (rows, n_features), DataFrames or pyarrow tables. A block must
          not be modified once it has been yielded, because several blocks are processed at once;
        - a function without arguments that returns a new iterator of such blocks each time;
        - the path of a Parquet file or of a folder of such files, a list of paths, or a pyarrow
          dataset (these require the extra ``parquet``);
        - a two-dimensional array that is read by slices: ``h5py.Dataset``, ``zarr.Array``,
          ``numpy.memmap``.
    columns : list of str or int, default=None
        Names or numbers of the feature columns; all columns but `weight_column` by default.
    weight_column : str or int, default=None
        Column of the weights of the rows, an alternative to `sample_weight`.
    block_rows : int, default=None
        Maximum number of rows per block. By default the blocks of a sequence or a function are not
        divided, and files and arrays are read in blocks of about half a million values.

    Returns
    -------
    Blocks
        Object to be used as X. Iterating over it yields the rows of each block as an array.

    Raises
    ------
    TypeError
        If the source can be read only once, or is of another type.
    FileNotFoundError
        If there is no file at a path.
    ValueError
        If a file is not a Parquet file or is damaged, if a column does not exist or is given twice,
        if no feature is left, or if `block_rows` is less than 1. The content of blocks is validated
        when they are read; the error then names the block.
    ImportError
        If a Parquet file is given and pyarrow is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixture, blocks
    >>> from emgmm.datasets import old_faithful
    >>> rows = old_faithful().rows
    >>> X = blocks([rows[:100], rows[100:]])
    >>> model = GaussianMixture(2, random_state=0).fit(X)
    >>> model.means_.round(2)
    array([[ 2.04, 54.48],
           [ 4.29, 79.97]])
    >>> [labels.shape for labels in model.predict(X)]
    [(100,), (172,)]
    """
    if isinstance(columns, str | Integral):
        columns = [columns]
    if not (columns is None or isinstance(columns, Iterable)):
        raise TypeError(f"columns must be names or numbers of columns, but got {columns!r}.")
    columns = None if columns is None else list(columns)
    if block_rows is not None:
        if not (is_number(block_rows) and block_rows >= 1):
            raise ValueError(
                f"block_rows must be a number of rows, at least 1, but got {block_rows!r}."
            )
        block_rows = int(block_rows)  # sums of NumPy's small integers would overflow
    paths = source if isinstance(source, list | tuple) else [source]
    are_paths = bool(paths) and all(isinstance(path, str | os.PathLike) for path in paths)
    if are_paths or hasattr(source, "scanner"):
        return _of_dataset(source, columns, weight_column, block_rows)
    return Blocks(_opener(source, block_rows), columns, weight_column, block_rows)


def _of_dataset(
    source: Any, columns: list[Any] | None, weight_column: Any, block_rows: int | None
) -> Blocks:
    """Return the blocks of a pyarrow dataset, from which only the required columns are read."""
    dataset = source if hasattr(source, "scanner") else open_dataset(source)
    labels = list(dataset.schema.names)
    features, weights = resolve_columns(columns, weight_column, labels, len(labels))
    required = [labels[column] for column in (*features, weights) if column is not None]
    repeated = next((label for label in required if labels.count(label) > 1), None)
    if repeated is not None:
        raise ValueError(
            f"there is more than one column {repeated!r}: rename one of them, or give other "
            "columns in columns."
        )
    n_rows = block_rows or max(1, ENTRIES // len(required))
    names = required[: len(features)]
    weight_name = None if weights is None else labels[weights]
    return Blocks(partial(batches, dataset, required, n_rows), names, weight_name, block_rows)


def _opener(source: Any, block_rows: int | None) -> Callable[[], Iterable[Any]]:
    """Return a function that yields the blocks of a source other than a file."""
    if is_sliceable(source, 2):
        return partial(read_slices, source, block_rows or 1)
    if column_labels(source) is not None:  # a single table
        return lambda: (source,)
    if isinstance(source, Iterator):
        raise TypeError(f"blocks was given a {type(source).__name__}, {ONCE}")
    if callable(source):
        return _CheckedFunction(source)
    if hasattr(source, "__array__") and getattr(source, "ndim", 2) == 2:  # not by slices
        return lambda: (source,)
    if not isinstance(source, Iterable):
        raise TypeError(
            f"blocks was given a {type(source).__name__}; it takes a sequence of arrays or tables, "
            "a function that returns an iterator of them, a path, a pyarrow dataset, or an array "
            "that is read by slices."
        )
    return lambda: source


class _CheckedFunction:
    """A function that must return a new iterator each time; a repeated iterator is an error."""

    def __init__(self, function: Callable[[], Iterable[Any]]) -> None:
        self.function = function
        self.last: Any = None

    def __call__(self) -> Iterator[Any]:
        answer = self.function()
        if not isinstance(answer, Iterable):
            raise TypeError(
                f"The function that blocks was given returned {answer!r}: it must return a new "
                "iterator of arrays or tables each time."
            )
        iterator = iter(answer)
        if iterator is self.last:
            raise TypeError(
                "The function that blocks was given returned the same "
                f"{type(iterator).__name__} twice, {ONCE}"
            )
        self.last = iterator
        return iterator
