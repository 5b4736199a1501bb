"""phi: a block's rows as the features in which every log-joint is linear."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from emgmm.block import Block
from emgmm.expectation.scratch import Scratch
from emgmm.families import Shape
from emgmm.typing import Array


class Phi:
    """phi(y) = (1, y, monomials of y) of blocks, y = x - centre.

    It is made in memory that a thread uses again for its next block. Where that is the same again,
    and lasts, phi is still there: a table of a single small block is turned into its phi once.

    Parameters
    ----------
    centre : (D,)
        What rows are about.
    shape : Shape or None
        Whose monomials; None if there are none.
    dtype : float64 or float32
        Of phi.
    """

    def __init__(self, centre: Array, shape: Shape | None, dtype: Any = np.float64) -> None:
        self.centre = centre
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.n_entries = 1 + len(centre) + (shape.n_monomials(len(centre)) if shape else 0)
        self.scratch = Scratch()
        self._held = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return Phi, (self.centre, self.shape, self.dtype)  # another process has memory of its own

    def of(self, block: Block) -> Array:
        """(P, B): what `of_rows` makes of a block."""
        if getattr(self._held, "block", None) is not block:
            self._held.phi = self.of_rows(block.rows)
            self._held.block = block if block.lasts else None
        phi: Array = self._held.phi
        return phi

    def of_rows(self, rows: Array) -> Array:
        """(P, B): phi of (D, B) rows, there until the same thread asks for the next."""
        n_features, n_rows = rows.shape
        self._held.block = None
        phi = self.scratch("phi", (self.n_entries, n_rows), self.dtype)
        phi[0] = 1.0
        centred = phi[1 : 1 + n_features]
        np.subtract(rows, self.centre[:, None], out=centred, casting="same_kind")
        if self.shape is not None:
            self.shape.monomials(centred, phi[1 + n_features :])
        return phi
