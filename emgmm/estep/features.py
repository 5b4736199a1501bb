"""phi: the quadratic features of a block's rows, in which every log-joint is linear."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from emgmm.covariances import Structure
from emgmm.estep.scratch import Scratch
from emgmm.sources.block import Block
from emgmm.typing import Array

# From this many features on, rows in C order keep that order if phi is hardly larger than they are:
# BLAS accepts either order, and a transposition would take as long as both its products.
WIDE = 32


class QuadraticFeatures:
    """phi(y) = (1, y, monomials of y) of the rows of blocks, where y = x - centre.

    Each thread reuses the memory of phi for its next block. If that is the same block again, and
    the block is persistent, phi is not recomputed: a small table is transformed only once.

    Parameters
    ----------
    centre : (D,)
        Point that is subtracted from the rows, rounded to `dtype`.
    structure : Structure or None
        Structure of the monomials; None if there are none.
    dtype : float64 or float32
        Type of phi.
    """

    def __init__(self, centre: Array, structure: Structure | None, dtype: Any = np.float64) -> None:
        self.dtype = np.dtype(dtype)
        self._rounded_centre = centre.astype(self.dtype)
        self.centre = self._rounded_centre.astype(np.float64)
        self.structure = structure
        self.n_entries = 1 + len(centre) + (structure.n_monomials(len(centre)) if structure else 0)
        self.scratch = Scratch()
        self._last = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return QuadraticFeatures, (self.centre, self.structure, self.dtype)

    def transform_block(self, block: Block) -> Array:
        """Return phi of a block, (P, B), which is kept for the next call if it may be reused."""
        if getattr(self._last, "block", None) is not block:
            self._last.phi = self.transform(block.rows)
            self._last.block = block if block.is_persistent else None
        phi: Array = self._last.phi
        return phi

    def transform(self, rows: Array) -> Array:
        """Return phi of (D, B) rows, (P, B), valid until the next call in the same thread."""
        (n_features, n_rows), n_entries = rows.shape, self.n_entries
        self._last.block = None
        row_by_row = rows.strides[0] < rows.strides[1]
        if row_by_row and n_features >= WIDE and n_entries <= 1 + 2 * n_features:
            phi = self.scratch("phi", (n_rows, n_entries), self.dtype).T
        else:
            phi = self.scratch("phi", (n_entries, n_rows), self.dtype)
        phi[0] = 1.0
        centred = phi[1 : 1 + n_features]
        np.subtract(rows, self._rounded_centre[:, None], out=centred, casting="same_kind")
        if self.structure is not None:
            self.structure.monomials(centred, phi[1 + n_features :])
        return phi
