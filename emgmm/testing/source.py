"""Checks of a data source."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emgmm.sources import ArraySource, Source
from emgmm.sources.block import Block
from emgmm.sources.finite import is_complete
from emgmm.testing.data import require
from emgmm.typing import Array

# Rows of the blocks that are requested.
SIZE = 7


def check_source(source: Source, rows: Array, weights: Array | None = None) -> None:
    """Check that a data source provides the rows and weights that it should.

    Sums over all rows, values of each row and samples are those of an `ArraySource` of the same
    rows, in every pass; rows of weight 0 are in no sum.

    Parameters
    ----------
    source : Source
        Source to check.
    rows : ndarray of shape (N, D)
        Rows that the source should provide, in the same order; NaN marks a missing value.
    weights : ndarray of shape (N,), default=None
        Weights that the source should provide; 1 by default.

    Raises
    ------
    AssertionError
        If the source differs from an `ArraySource`.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm.sources import BlocksSource, blocks
    >>> from emgmm.testing import check_source
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> check_source(BlocksSource.of(blocks([X[:4], X[4:]]), None), X)
    """
    name = type(source).__name__
    counts = None if weights is None else np.asarray(weights, dtype=float)
    expected = ArraySource(rows, counts, complete=is_complete(rows))
    n_features = rows.shape[1]
    sums = [source.sum(_sums, SIZE), source.sum(_sums, SIZE)]
    require(
        np.allclose(sums[0], expected.sum(_sums, SIZE), rtol=1e-10),
        f"The sums of {name} over all rows are not those of the rows.",
    )
    require(
        np.allclose(sums[0], sums[1], rtol=1e-13, atol=0),
        f"The sums of {name} differ between two passes.",
    )
    found = (source.n_rows, source.n_features, source.dtype)
    require(
        found == (len(rows), n_features, rows.dtype),
        f"{name} has {found[0]} rows, {found[1]} features and the type {found[2]}, but the rows "
        f"have the shape {rows.shape} and the type {rows.dtype}.",
    )
    values = source.each_row(_values, SIZE, (n_features,), rows.dtype)
    values = np.concatenate([*values]) if isinstance(values, Iterator) else np.asarray(values)
    require(
        np.array_equal(values, rows, equal_nan=True),
        f"{name} does not return the values of each row in the order of the rows.",
    )
    for limit in (len(rows) // 3, len(rows) - 1, len(rows)):
        randoms = [np.random.RandomState(0), np.random.RandomState(0)]
        own = source.sample(limit, randoms[0])
        other = expected.sample(limit, randoms[1])
        require(
            np.array_equal(own.values, other.values, equal_nan=True),
            f"{name} samples other rows than sample_indices chooses.",
        )
        own_weights, other_weights = (
            np.ones(len(each.values)) if each.weights is None else each.weights
            for each in (own, other)
        )
        require(
            np.array_equal(own_weights, other_weights),
            f"{name} samples rows with other weights than their own.",
        )
        require(
            randoms[0].randint(2**31) == randoms[1].randint(2**31),
            f"{name} draws other random numbers for a sample than sample_indices.",
        )


def _sums(block: Block) -> Array:
    """Number of rows, their weight, and weighted sums of values and of products of two."""
    weights = np.ones(block.rows.shape[1]) if block.weights is None else block.weights
    values = np.nan_to_num(np.asarray(block.rows, dtype=float), nan=0.5)
    products = (weights * values) @ values.T
    return np.concatenate(
        [[len(weights), weights.sum()], values @ weights, products.ravel()], dtype=float
    )


def _values(block: Block) -> Array:
    return block.rows.T
