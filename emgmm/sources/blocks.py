"""Blocks: rows that come piece by piece, from wherever the user has them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

from emgmm.sources.conversion import as_rows, as_weights
from emgmm.sources.cut import ENTRIES, Cut, is_sliceable
from emgmm.sources.parquet import batches, opened
from emgmm.sources.sliced import slabs
from emgmm.sources.tables import as_names, chosen, is_number, labels_of, select, width_of
from emgmm.typing import Array

ONCE = (
    "which can be read only once, and EM reads all rows in every iteration. Pass a function that "
    "returns a new one each time: blocks(lambda: read(path)), not blocks(read(path))."
)


@contextmanager
def naming(number: int) -> Iterator[None]:
    """Errors say which block it was."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Block {number}, counted from 0: {error}") from error


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows in blocks, to be read again and again; `blocks` makes them.

    Parameters
    ----------
    opened : callable
        Returns the blocks, two-dimensional arrays or tables, from the first on.
    columns : list of str or int, optional
        The features; all columns by default.
    weight_column : str or int, optional
        The column of weights.
    block_rows : int, optional
        Most rows of a block; larger ones are cut.
    """

    opened: Callable[[], Iterable[Any]]
    columns: list[Any] | None = None
    weight_column: Any = None
    block_rows: int | None = None

    def __iter__(self) -> Iterator[Array]:
        """Arrays of shape (rows, n_features), one for each block."""
        return (cut.rows for cut in self.read())

    def read(self) -> Iterator[Cut]:
        """One pass over the rows."""
        return self._each(self._cut)

    def read_weights(self) -> Iterator[Cut]:
        """One pass over what are weights: blocks with one dimension, or one column."""
        return self._each(self._column)

    def _each(self, of_block: Callable[[Any], Cut]) -> Iterator[Cut]:
        number = 0
        raws = iter(self.opened())
        try:
            for raw in raws:
                with naming(number):
                    cut = of_block(raw)
                size = self.block_rows or max(1, len(cut))
                for at in range(0, max(1, len(cut)), size):
                    yield cut.part(slice(at, at + size))
                    number += 1
        finally:
            if hasattr(raws, "close"):  # a generator's file, where not all of it was wanted
                raws.close()

    def _cut(self, raw: Any) -> Cut:
        labels = labels_of(raw)
        raw = as_rows(raw, ensure_min_samples=0) if labels is None else raw
        features, weights = chosen(self.columns, self.weight_column, labels, width_of(raw))
        return Cut(
            as_rows(select(raw, features), ensure_min_samples=0),
            None if weights is None else as_weights(select(raw, [weights])).ravel(),
            None if labels is None else as_names([labels[feature] for feature in features]),
        )

    def _column(self, raw: Any) -> Cut:
        labels = labels_of(raw)
        if labels is not None or self.columns is not None:
            raw = select(raw, chosen(self.columns, None, labels, width_of(raw))[0])
        array = as_weights(raw)
        if array.ndim > 1 and array.shape[1:] != (1,):
            raise ValueError(f"sample_weight has the shape {array.shape}; it must be one column.")
        return Cut(array.reshape(-1, 1))


def blocks(
    source: Any,
    *,
    columns: Any = None,
    weight_column: Any = None,
    block_rows: Any = None,
) -> Blocks:
    """Rows that do not fit in memory, block by block, to be used as X wherever an array is.

    Every pass of EM reads all blocks anew, one at a time, and lets go of them. From the same
    `random_state` the fit is that of the same rows in one array. Of blocks, ``predict`` and its
    kin return iterators of arrays, one for each block.

    Parameters
    ----------
    source : re-iterable, callable, path, dataset or array
        One of:

        - a sequence of blocks, or whatever else gives them each time it is iterated over:
          array-likes of shape (rows, n_features), DataFrames, pyarrow tables. A block must stay as
          it is once it is handed over, for several are at work at once;
        - a function without arguments that returns a new iterator of them each time;
        - the path of a Parquet file, of a folder of them, or a list of paths; a pyarrow dataset
          (these need the extra ``parquet``);
        - a two-dimensional array that is read by slices: ``h5py.Dataset``, ``zarr.Array``,
          ``numpy.memmap``.
    columns : list of str or int, default=None
        Names or numbers of the columns that are features; all but `weight_column` by default.
    weight_column : str or int, default=None
        The column that says what each row counts, as `sample_weight` does.
    block_rows : int, default=None
        Most rows of a block. By default a sequence or a function has the blocks that it gives, a
        file or an array some of about half a million numbers.

    Returns
    -------
    Blocks
        To be used as X. Iterating over it gives the blocks' rows as arrays.

    Raises
    ------
    TypeError
        Where the source can be read only once.
    ValueError
        Where there is no such column, a column is given twice, no feature is left, or `block_rows`
        is below 1. What blocks hold is looked at when they are read: there, an error names the
        block.
    ImportError
        Where a Parquet file is to be read without pyarrow.

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
    columns = None if columns is None else list(columns)
    limit = None if block_rows is None else _count(block_rows)
    if _is_path(source) or hasattr(source, "scanner"):
        return _of_dataset(source, columns, weight_column, limit)
    return Blocks(_opener(source, limit), columns, weight_column, limit)


def _count(block_rows: Any) -> int:
    if not is_number(block_rows) or int(block_rows) < 1:
        raise ValueError(
            f"block_rows must be a number of rows, at least 1, but got {block_rows!r}."
        )
    return int(block_rows)


def _is_path(source: Any) -> bool:
    paths = source if isinstance(source, list | tuple) else [source]
    return bool(paths) and all(isinstance(path, str | os.PathLike) for path in paths)


def _of_dataset(
    source: Any, columns: list[Any] | None, weight_column: Any, block_rows: int | None
) -> Blocks:
    """Blocks of a pyarrow dataset, which reads no other columns than these."""
    dataset = source if hasattr(source, "scanner") else opened(source)
    labels = list(dataset.schema.names)
    features, weights = chosen(columns, weight_column, labels, len(labels))
    wanted = [labels[column] for column in (*features, weights) if column is not None]
    repeated = next((label for label in wanted if labels.count(label) > 1), None)
    if repeated is not None:
        raise ValueError(f"there is more than one column {repeated!r}: rename one of them.")
    n_rows = block_rows or max(1, ENTRIES // len(wanted))
    names = wanted[: len(features)]
    weight_name = None if weights is None else labels[weights]
    return Blocks(partial(batches, dataset, wanted, n_rows), names, weight_name, block_rows)


def _opener(source: Any, block_rows: int | None) -> Callable[[], Iterable[Any]]:
    """What opens a source that is no file."""
    if is_sliceable(source, 2):
        return partial(slabs, source, block_rows or 1)
    if labels_of(source) is not None:  # a single table
        return lambda: (source,)
    if isinstance(source, Iterator):
        raise TypeError(f"blocks was given a {type(source).__name__}, {ONCE}")
    if callable(source):
        return _Anew(source)
    if not isinstance(source, Iterable):
        raise TypeError(
            f"blocks was given a {type(source).__name__}; it takes a sequence of arrays or tables, "
            "a function that returns an iterator of them, a path, a pyarrow dataset, or an array "
            "that is read by slices."
        )
    return lambda: source


class _Anew:
    """Calls a function that is to return a new iterator each time, and sees that it does."""

    def __init__(self, function: Callable[[], Iterable[Any]]) -> None:
        self.function = function
        self.last: Any = None

    def __call__(self) -> Iterator[Any]:
        iterator = iter(self.function())
        if iterator is self.last:
            raise TypeError(
                "The function that blocks was given returned the same "
                f"{type(iterator).__name__} twice, {ONCE}"
            )
        self.last = iterator
        return iterator
