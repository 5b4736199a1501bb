"""The order in which rows that miss the same features stand side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emgmm.typing import Array, Integers


def codes_of(missing: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(B, n) integers for (B, D) patterns; more missing is more, so all is the largest."""
    packed = np.packbits(missing, axis=1)
    n_rows, n_bytes = packed.shape
    codes = np.zeros((n_rows, -(-n_bytes // 8) * 8), dtype=np.uint8)
    codes[:, :n_bytes] = packed
    return codes.view(np.uint64)


def by_codes(codes: NDArray[np.uint64]) -> Integers:
    """(B,): the order in which equal codes stand side by side."""
    first = codes[:, 0]
    if codes.shape[1] == 1 and (first[1:] >= first[:-1]).all():  # a source has sorted them
        return np.arange(len(codes))
    return np.lexsort(codes.T)


def by_pattern(rows: Array) -> Integers:
    """(N,): numbers of (N, D) rows, those that miss the same features side by side."""
    return by_codes(codes_of(np.isnan(rows)))
