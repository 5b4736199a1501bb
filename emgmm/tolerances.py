"""Numerical tolerances: the error bounds that every faster, less accurate computation respects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Floating-point types of rows; rows of other types are converted to the first.
FLOATS = [np.float64, np.float32]

# Machine epsilon of float64, in which statistics are added.
EPS = float(np.finfo(np.float64).eps)


@contextmanager
def judged_afterwards() -> Iterator[None]:
    """Results may exceed the range of floating-point numbers, as they are checked afterwards.

    For the E-step, whose statistics are not finite where a row is too far from all components, and
    for the M-step, whose covariances are refused where they or their inverses are not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        yield


@cache
def eps_of(dtype: Any) -> float:
    """Return the relative rounding error of one operation, half the machine epsilon of `dtype`."""
    return float(np.finfo(dtype).eps) / 2


# Largest error, in nats, that the expanded E-step may add to the log-density of a row, and largest
# relative error of a covariance that the centre of its moments may cause.
MAX_ERROR = 1e-9


def max_error_single(n_features: int) -> float:
    """Return the largest error, in nats, of the log-density of a row if products are in float32.

    The bound applies to rows at typical distances from a component. For farther rows, the bound is
    1e-6 of the log-density. With many features the bound is proportional to their number, as the
    log-density is.
    """
    return 1e-4 * max(1.0, n_features / 32)


@cache
def distinct_factors(n: int) -> NDArray[np.floating[Any]]:
    """Return n factors between 1 and 2 that are distinct, as are sums of a few of them."""
    numbers = 1 + np.arange(1, n + 1) * ((5**0.5 - 1) / 2) % 1  # multiples of the golden ratio
    numbers.setflags(write=False)
    return numbers
