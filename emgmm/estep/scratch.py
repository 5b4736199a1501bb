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
        self._arrays: dict[str, Array] = {}

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()  # the arrays are not pickled

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
        """Return a contiguous array, valid until the same thread requests the name again."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            size, memory = prod(shape), None if array is None else array.base
            if memory is None or memory.size < size or memory.dtype != dtype:
                memory = np.empty(size, dtype)
            array = self._arrays[name] = memory[:size].reshape(shape)
        return array
