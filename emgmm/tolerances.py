"""How many digits we promise; everything that trades digits for speed is measured against it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Numbers that rows are kept in; all others become the first.
FLOATS = [np.float64, np.float32]

# The unit of rounding of the numbers that statistics are added in.
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
    """Half the distance from 1 to the next number: what one operation loses, relatively."""
    return float(np.finfo(dtype).eps) / 2


# The largest error, in nats, that the packed form may add to a row's log-density; and the largest
# relative error that a covariance may owe to the point about which its moments were taken.
MAX_ERROR = 1e-9


def max_error_single(n_features: int) -> float:
    """The first of these for rows that come in float32, with products that are made in it.

    For rows as near to a component as its own rows are; where they are farther it is a millionth of
    the logarithm. With many features it grows with them, as the logarithm does.
    """
    return 1e-4 * max(1.0, n_features / 32)


@cache
def distinct_factors(n: int) -> NDArray[np.floating[Any]]:
    """(n,): numbers from 1 to 2 of which no two are alike, and no two sums of a few."""
    numbers = 1 + np.arange(1, n + 1) * ((5**0.5 - 1) / 2) % 1  # the golden ratio's multiples
    numbers.setflags(write=False)
    return numbers
