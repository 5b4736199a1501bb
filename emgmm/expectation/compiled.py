"""The packed form's sums by the compiled kernel: the extra `fast`, which is numba.

Nothing here imports numba before a sum is asked for.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

from emgmm.families.shape import AXIS, OUTER, TRACE, Shape
from emgmm.typing import Array

# What phi holds beyond (1, y); the numbers are the kernel's. None: the covariance is shared.
MONOMIALS: dict[Shape | None, int] = {OUTER: 0, AXIS: 1, TRACE: 2, None: 3}

# Entries of phi for one strip: its 256 KiB stay in a second-level cache of 512.
STRIP = 2**15


@cache
def kernel() -> ModuleType | None:
    """The kernel's module; None without numba, or with one that will not have this NumPy."""
    try:
        from emgmm.expectation import kernel
    except ImportError:
        return None
    return kernel


def strip_rows(n_entries: int, panel: int) -> int:
    """Rows of a strip: whole panels."""
    return int(np.clip(STRIP // n_entries // panel * panel, 48, 480))


def packed_sums(
    rows: Array, centre: Array, theta: Array, shape: Shape | None
) -> tuple[Array, float]:
    """R @ phi^T and the sum of log p(x) of a block, R being softmax(theta @ phi).

    Parameters
    ----------
    rows : (D, B)
        A block; the transpose of contiguous rows is read where it lies, anything else is copied.
    centre : (D,)
        phi is of the rows less this.
    theta : (K, P)
        The components' coefficients, in the order of phi: 1, y, monomials.
    shape : Shape or None
        Whose monomials; None if there are none.

    Returns
    -------
    sums : (K, P) float64
        R @ phi^T.
    log_likelihood : float
        Sum of the log-sum-exp of theta @ phi over the rows.
    """
    fast = kernel()
    assert fast is not None
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    n_components, n_entries = theta.shape
    heights = -(-n_components // fast.PAIR) * fast.PAIR
    entries = -(-n_entries // fast.TILE) * fast.TILE
    padded = np.zeros((heights, entries))
    padded[:n_components, :n_entries] = theta
    sums = np.empty(theta.shape)
    log_likelihood = fast.pass_for(rows.dtype.char)(
        np.require(rows.T, requirements="CA"),
        np.ascontiguousarray(centre, dtype=np.float64),
        padded,
        MONOMIALS[shape],
        strip_rows(entries, fast.PANEL),
        sums,
    )
    return sums, log_likelihood
