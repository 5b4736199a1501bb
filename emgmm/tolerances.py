"""Numerical tolerances: the error bounds that every faster, less accurate computation respects."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
T = TypeVar("T")

# Floating-point types of rows; rows of other types are converted to the first.
FLOATS = [np.float64, np.float32]

# Machine epsilon of float64, in which statistics are added, and its smallest normal number.
EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)


def checked_afterwards(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function whose results may overflow, because they are checked afterwards.

    Examples are the E-step, whose statistics are not finite if a row is too far from all
    components, and the M-step, which refuses covariances that are not finite or have no finite
    inverse.
    """

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        with np.errstate(over="ignore", invalid="ignore"):
            return function(*args, **kwargs)

    return inner


def negligible_underflow(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function in which numbers that underflow, such as densities, count as 0."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        with np.errstate(under="ignore"):
            return function(*args, **kwargs)

    return inner


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
