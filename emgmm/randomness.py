"""The random number generator of a fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

# Generators that are not in use. Creating one takes a hundred times as long as seeding it, and as
# long as an EM iteration of a small fit.
_idle: list[np.random.RandomState] = []


@contextmanager
def generator(random_state: Any) -> Iterator[np.random.RandomState]:
    """Yield the generator of scikit-learn's `check_random_state`.

    For an integer seed, the generator is valid inside the context only, because it is reused.
    """
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
