"""Columns that take few distinct values: what makes components collapse most often."""

from __future__ import annotations

import numpy as np

from emgmm.sources import ArraySource, Source
from emgmm.typing import Array

# Distinct values up to which a column is called discrete.
FEW = 10

# Rows that show of most columns that they are not.
GLANCE = 1000


def discrete_columns(source: Source) -> tuple[int, ...]:
    """Columns of an array in memory with few distinct values, beside what is missing.

    Rows that are read from elsewhere would have to be read once more, and are not.
    """
    if not isinstance(source, ArraySource) or source.n_rows <= FEW:
        return ()
    return tuple(
        j
        for j, column in enumerate(source.rows.T)
        if _n_distinct(column[:GLANCE]) <= FEW and _n_distinct(column) <= FEW
    )


def _n_distinct(column: Array) -> int:
    return len(np.unique(column[np.logical_not(np.isnan(column))]))


def note(source: Source) -> str:
    """A sentence that names the discrete columns, to follow another; nothing where none are."""
    columns = discrete_columns(source)
    if not columns:
        return ""
    names = source.feature_names
    named = ", ".join(f"{j}" if names is None else f"{j} ({names[j]!r})" for j in columns)
    which = f"Column {named} is" if len(columns) == 1 else f"Columns {named} are"
    return (
        f" {which} discrete (counted from 0): rows that share a value have no variance there. Drop "
        "such columns, or fit the rows of each value alone."
    )
