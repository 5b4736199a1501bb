"""Random numbers: the generator that a fit draws from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

# Generators that nobody uses now. To make one takes a hundred times as long as to seed it, and as
# long as an EM iteration of a small fit.
_idle: list[np.random.RandomState] = []


@contextmanager
def generator(random_state: Any) -> Iterator[np.random.RandomState]:
    """scikit-learn's `check_random_state`; where a number is the seed, only for the time inside."""
    if not isinstance(random_state, Integral):
        yield check_random_state(random_state)
        return
    try:
        random = _idle.pop()
    except IndexError:
        random = np.random.RandomState()
    random.seed(int(random_state))
    try:
        yield random
    finally:
        _idle.append(random)
