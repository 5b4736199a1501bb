"""The products of the digest, compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

WORDS = types.Array(types.uint64, 2, "C", readonly=True)
POWERS = types.Array(types.uint64, 1, "C", readonly=True)
EIGHT, SIXTEEN, THIRTY_TWO = np.uint64(8), np.uint64(16), np.uint64(32)
ODD_BYTES, ODD_PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)


def _products(words: Any, powers: Any) -> Any:
    """Return the sums of the words of each row, with their bytes reversed, times some powers."""
    sums = np.zeros(len(words), np.uint64)
    for i in range(len(words)):
        total = np.uint64(0)
        for j in range(len(powers)):
            word = words[i, j]
            word = ((word & ODD_BYTES) << EIGHT) | ((word >> EIGHT) & ODD_BYTES)
            word = ((word & ODD_PAIRS) << SIXTEEN) | ((word >> SIXTEEN) & ODD_PAIRS)
            total += ((word << THIRTY_TWO) | (word >> THIRTY_TWO)) * powers[j]
        sums[i] = total
    return sums


products = njit(types.uint64[::1](WORDS, POWERS), nogil=True)(_products)
