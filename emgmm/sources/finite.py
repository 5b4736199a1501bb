"""What is missing, and what is infinite, in rows."""

from __future__ import annotations

import numpy as np

from emgmm.typing import Array

# Rows that are looked at together.
TOGETHER = 2**16


def is_complete(rows: Array, names: Array | None = None, start: int = 0) -> bool:
    """Whether nothing is missing in (B, D) rows, of which the first is number `start`.

    Raises
    ------
    ValueError
        Where one holds infinity.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum(dtype=np.float64)):
            return True
    complete = True
    for at in range(0, len(rows), TOGETHER):
        part = rows[at : at + TOGETHER]
        found = np.argwhere(np.isinf(part))
        if len(found):
            row, column = found[0]
            name = "" if names is None else f" ({names[column]!r})"
            raise ValueError(
                f"Input X contains infinity or a value too large for {rows.dtype!r}. The first is "
                f"in row {start + at + row}, column {column}{name}, counted from 0: drop such "
                "rows, or set what is not known to NaN."
            )
        complete = complete and not np.isnan(part).any()
    return complete
