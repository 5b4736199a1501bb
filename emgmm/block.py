"""A block: what a pass hands to the E-step, one at a time."""

from __future__ import annotations

from dataclasses import dataclass

from emgmm.typing import Array


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows.

    Parameters
    ----------
    start : int
        Number of the first row in its source.
    rows : (D, B)
        Features along the first axis; a view of the source's own memory and precision.
    """

    start: int
    rows: Array

    @property
    def place(self) -> slice:
        """Where the rows stand in their source."""
        return slice(self.start, self.start + self.rows.shape[1])
