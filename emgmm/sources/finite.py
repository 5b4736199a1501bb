"""Detection of missing and infinite values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emgmm.typing import Array

# Rows that are checked at a time, which bounds the temporary memory.
CHECKED_ROWS = 2**16

# Number of values up to which each of them is checked before their sum is.
FEW = 2**10


def is_complete(
    rows: Array, names: Array | None = None, row_name: Callable[[int], str] = "row {}".format
) -> bool:
    """Whether no value is missing in (B, D) rows.

    `row_name` returns the name of a row, given its index, for the error message.

    Raises
    ------
    ValueError
        If a value is infinite.
    """
    if rows.size <= FEW:  # for which it takes longer to set NumPy's treatment of errors
        if np.logical_and.reduce(np.isfinite(rows), axis=None):
            return True
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(rows.sum(dtype=np.float64)):
                return True
    complete = True
    for at in range(0, len(rows), CHECKED_ROWS):
        part = rows[at : at + CHECKED_ROWS]
        found = np.argwhere(np.isinf(part))
        if len(found):
            row, column = found[0]
            name = "" if names is None else f" ({names[column]!r})"
            raise ValueError(
                f"Input X contains infinity or a value too large for {rows.dtype!r}. The first is "
                f"in {row_name(at + row)}, column {column}{name}, counted from 0: drop such rows, "
                "or replace unknown values by NaN."
            )
        complete = complete and not np.isnan(part).any()
    return complete
