"""Ordering of rows by their patterns of missing features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emgmm.sources.block import Block
from emgmm.typing import Array, Integers


def codes_of(missing: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Encode (B, D) patterns as (B, n) integers; a pattern with all features missing is largest."""
    packed = np.packbits(missing, axis=1)
    n_rows, n_bytes = packed.shape
    codes = np.zeros((n_rows, -(-n_bytes // 8) * 8), dtype=np.uint8)
    codes[:, :n_bytes] = packed
    return codes.view(np.uint64)


def by_codes(codes: NDArray[np.uint64]) -> Integers:
    """Return an order, shape (B,), in which equal codes are adjacent."""
    first = codes[:, 0]
    if codes.shape[1] == 1 and (first[1:] >= first[:-1]).all():  # the source has sorted them
        return np.arange(len(codes))
    return np.lexsort(codes.T)


def by_pattern(rows: Array) -> Integers:
    """Return an order, shape (N,), of (N, D) rows in which equal patterns are adjacent."""
    return by_codes(codes_of(np.isnan(rows)))


def each_pattern(block: Block) -> Iterator[tuple[slice | Integers, Integers]]:
    """Yield the rows of a block with the same pattern: their positions and observed features."""
    if block.complete:
        yield slice(None), np.arange(len(block.rows))
        return
    missing = np.isnan(block.rows.T)
    codes = codes_of(missing)
    order = by_codes(codes)
    differs = (codes[order[1:]] != codes[order[:-1]]).any(axis=1)
    for place in np.split(order, 1 + np.flatnonzero(differs)):
        yield place, np.flatnonzero(np.logical_not(missing[place[0]]))
