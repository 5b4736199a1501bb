"""phi: a block's rows as the features in which every log-joint is linear."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from emgmm.covariances import Structure
from emgmm.estep.scratch import Scratch
from emgmm.sources.block import Block
from emgmm.typing import Array

# Features from which rows that come one after the other stay so, where phi is little more than
# they are: BLAS takes either, and to lay them out by feature takes as long as both its products.
WIDE = 32


class QuadraticFeatures:
    """phi(y) = (1, y, monomials of y) of blocks, y = x - centre.

    It is made in memory that a thread uses again for its next block. Where that is the same again,
    and lasts, phi is still there: a table of a single small block is turned into its phi once.

    Parameters
    ----------
    centre : (D,)
        What rows are about; it is rounded to `dtype`, so that what is subtracted is of rows' type.
    structure : Shape or None
        Whose monomials; None if there are none.
    dtype : float64 or float32
        Of phi.
    """

    def __init__(self, centre: Array, structure: Structure | None, dtype: Any = np.float64) -> None:
        self.dtype = np.dtype(dtype)
        self._subtracted = centre.astype(self.dtype)
        self.centre = self._subtracted.astype(np.float64)
        self.structure = structure
        self.n_entries = 1 + len(centre) + (structure.n_monomials(len(centre)) if structure else 0)
        self.scratch = Scratch()
        self._held = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return QuadraticFeatures, (
            self.centre,
            self.structure,
            self.dtype,
        )  # another process has memory of its own

    def transform_block(self, block: Block) -> Array:
        """(P, B): what `transform` makes of a block."""
        if getattr(self._held, "block", None) is not block:
            self._held.phi = self.transform(block.rows)
            self._held.block = block if block.is_persistent else None
        phi: Array = self._held.phi
        return phi

    def transform(self, rows: Array) -> Array:
        """(P, B): phi of (D, B) rows, there until the same thread asks for the next."""
        n_features = len(rows)
        self._held.block = None
        phi = self._room(rows)
        phi[0] = 1.0
        centred = phi[1 : 1 + n_features]
        np.subtract(rows, self._subtracted[:, None], out=centred, casting="same_kind")
        if self.structure is not None:
            self.structure.monomials(centred, phi[1 + n_features :])
        return phi

    def _room(self, rows: Array) -> Array:
        """(P, B): memory for phi of (D, B) rows, with entries or rows one after the other."""
        n_features, n_rows = rows.shape
        row_by_row = rows.strides[0] < rows.strides[1]
        if row_by_row and n_features >= WIDE and self.n_entries <= 1 + 2 * n_features:
            return self.scratch("phi", (n_rows, self.n_entries), self.dtype).T
        return self.scratch("phi", (self.n_entries, n_rows), self.dtype)
