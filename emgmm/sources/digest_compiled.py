"""The product of the digest, compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

WORDS = types.Array(types.uint64, 1, "C", readonly=True)
EIGHT, SIXTEEN, THIRTY_TWO = np.uint64(8), np.uint64(16), np.uint64(32)
ODD_BYTES, ODD_PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)


def _product(words: Any, powers: Any) -> Any:
    total = np.uint64(0)
    for i in range(len(words)):
        word = words[i]
        word = ((word & ODD_BYTES) << EIGHT) | ((word >> EIGHT) & ODD_BYTES)
        word = ((word & ODD_PAIRS) << SIXTEEN) | ((word >> SIXTEEN) & ODD_PAIRS)
        total += ((word << THIRTY_TWO) | (word >> THIRTY_TWO)) * powers[i]
    return total


product_with_reversed_bytes = njit(types.uint64(WORDS, WORDS), nogil=True)(_product)
