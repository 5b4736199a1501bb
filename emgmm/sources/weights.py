"""Weights of rows: what may be one, and how they are read beside rows that come in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from emgmm.sources.conversion import as_weights
from emgmm.sources.cut import Cut, is_sliceable
from emgmm.typing import Array

# The largest weight, and the inverse of the smallest one, that is used as it is. Sums of larger
# ones would leave the range of float32.
ORDINARY = 2.0**64


def row_weights(value: Any, n_rows: int) -> Array:
    """(N,) weights of rows: finite, none negative, not all zero."""
    array = as_weights(value)
    check_length(array, n_rows)
    check_each(array, 0)
    check_some(array.any())
    return ordinary(array)


def ordinary(weights: Array) -> Array:
    """Weights divided by a power of two, which rounds nothing, if the largest is extreme.

    Only ratios of weights matter to a likelihood. Extreme ones leave nothing of the number of rows
    that weights of an ordinary size stand for.
    """
    largest = float(weights.max(initial=0.0))
    if not 0 < largest < np.inf or 1 / ORDINARY <= largest <= ORDINARY:
        return weights
    with np.errstate(under="ignore"):  # what underflows is nothing beside the largest
        scaled: Array = np.ldexp(weights, -np.frexp(largest)[1])
    return scaled


def in_slices(value: Any) -> Any:
    """Weights that can be read by slices, as they are where they already can."""
    weights = value if is_sliceable(value, 1) else as_weights(value)
    if weights.ndim != 1:
        raise ValueError(
            f"sample_weight has the shape {weights.shape}: give one number for each row."
        )
    in_memory = isinstance(weights, np.ndarray) and not np.ma.isMaskedArray(weights)
    return ordinary(weights) if in_memory else weights


def weighed(cuts: Iterator[Cut], weights: Any) -> Iterator[Cut]:
    """Cuts with the weights of their rows; the end tells whether there is one for each row."""
    start = 0
    for cut in cuts:
        stop = start + len(cut)
        if stop > weights.shape[0]:
            check_length(weights, f"at least {stop}")
        yield replace(cut, weights=as_weights(weights[start:stop]))
        start = stop
    check_length(weights, start)


def check_length(weights: Any, n_rows: int | str) -> None:
    """There is one weight for each row."""
    if tuple(weights.shape) != (n_rows,):
        raise ValueError(
            f"sample_weight has the shape {tuple(weights.shape)}, but X has {n_rows} rows: give "
            "one number for each."
        )


def check_each(weights: Array, start: int) -> None:
    """Weights, of which the first is that of row `start`, are finite and none is negative."""
    wrong = np.flatnonzero(np.logical_not(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ValueError(
            f"sample_weight of row {start + wrong[0]}, counted from 0, is {weights[wrong[0]]:g}; "
            "weights must be finite and not negative, and none may be masked: a weight of 0 leaves "
            "a row out."
        )


def check_ordinary(total: float) -> None:
    """Weights in blocks, of which the largest is not known beforehand, have an ordinary size."""
    if not 1 / ORDINARY <= total <= ORDINARY**2:
        raise ValueError(
            f"sample_weight comes to {total:g} in all, and weights that come in blocks are used as "
            "they are: multiply them by a constant, since only their ratios matter."
        )


def check_some(counts: Any) -> None:
    """Whether any row counts."""
    if not counts:
        raise ValueError(
            "sample_weight is zero for every row, so that no row counts: at least one weight must "
            "be positive."
        )
