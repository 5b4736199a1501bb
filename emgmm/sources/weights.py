"""Validation of the weights of rows, and their pairing with rows that are read in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from emgmm.sources.conversion import as_weights
from emgmm.sources.row_group import RowGroup, is_sliceable
from emgmm.typing import Array

# The largest weight, and the inverse of the smallest largest weight, that is not rescaled. Sums of
# larger weights would exceed the range of float32.
ORDINARY = 2.0**64


def row_weights(value: Any, n_rows: int) -> Array:
    """Return the validated (N,) weights of rows: finite, non-negative and not all zero."""
    array = as_weights(value)
    check_length(array, n_rows)
    check_values(array)
    check_any_positive(array.any())
    return ordinary(array)


def ordinary(weights: Array) -> Array:
    """Divide weights by a power of two, which is exact, if the largest is extreme.

    Maximum likelihood estimates depend on ratios of weights only. Weights of ordinary size may also
    represent numbers of rows, whereas extreme weights cannot.
    """
    largest = float(weights.max(initial=0.0))
    if not 0 < largest < np.inf or 1 / ORDINARY <= largest <= ORDINARY:
        return weights
    with np.errstate(under="ignore"):  # weights that underflow are negligible beside the largest
        scaled: Array = np.ldexp(weights, -np.frexp(largest)[1])
    return scaled


def sliceable_weights(value: Any) -> Any:
    """Return one-dimensional weights that support slicing, converting `value` only if necessary."""
    weights = value if is_sliceable(value, 1) else as_weights(value)
    if weights.ndim != 1:
        raise ValueError(
            f"sample_weight has the shape {weights.shape}: give one number for each row."
        )
    in_memory = isinstance(weights, np.ndarray) and not np.ma.isMaskedArray(weights)
    return ordinary(weights) if in_memory else weights


def attach_weights(groups: Iterator[RowGroup], weights: Any) -> Iterator[RowGroup]:
    """Yield row groups with their weights; raise at the end if the numbers of both differ."""
    start = 0
    for group in groups:
        stop = start + len(group)
        if stop > weights.shape[0]:
            check_length(weights, f"at least {stop}")
        yield replace(group, weights=as_weights(weights[start:stop]))
        start = stop
    check_length(weights, start)


def check_length(weights: Any, n_rows: int | str, owner: str = "X") -> None:
    """Raise unless the weights have one entry for each row of `owner`."""
    if tuple(weights.shape) != (n_rows,):
        raise ValueError(
            f"sample_weight has the shape {tuple(weights.shape)}, but {owner} has {n_rows} rows: "
            "give one number for each."
        )


def check_values(weights: Array, row_name: Callable[[int], str] = "row {}".format) -> None:
    """Raise unless all weights are finite and non-negative.

    `row_name` returns the name of a row, given its index, for the error message.
    """
    wrong = np.flatnonzero(np.logical_not(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ValueError(
            f"sample_weight of {row_name(wrong[0])}, counted from 0, is {weights[wrong[0]]:g}; "
            "weights must be finite and not negative, and none may be masked: a weight of 0 leaves "
            "a row out."
        )


def check_ordinary(size: float, verb: str = "sums to") -> None:
    """Raise if weights that were read in groups, and thus cannot be rescaled, are extreme.

    `size` is their sum, or with another verb the largest of them.
    """
    if not 1 / ORDINARY <= size <= ORDINARY**2:
        raise ValueError(
            f"sample_weight {verb} {size:g}, and weights that are read in blocks are not "
            "rescaled: multiply them by a constant, since only their ratios matter."
        )


def check_any_positive(any_positive: Any) -> None:
    """Raise unless some weight is positive."""
    if not any_positive:
        raise ValueError(
            "sample_weight is zero for every row: at least one weight must be positive."
        )
