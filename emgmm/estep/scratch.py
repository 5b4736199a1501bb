"""Work arrays that a thread reuses from one block to the next."""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

from emgmm.typing import Array


class Scratch(threading.local):
    """Uninitialized work arrays by name, separate for each thread.

    Allocating arrays of a megabyte for every block would cost more in page faults than the
    arithmetic.
    """

    def __init__(self) -> None:
        self._memory: dict[str, Array] = {}

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()  # the arrays are not pickled

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
        """Return a contiguous array, valid until the same thread requests the name again."""
        size = prod(shape)
        flat = self._memory.get(name)
        if flat is None or flat.size < size or flat.dtype != dtype:
            flat = self._memory[name] = np.empty(size, dtype)
        return flat[:size].reshape(shape)
