"""Columns with few distinct values, the most frequent reason for collapsed components."""

from __future__ import annotations

import numpy as np

from emgmm.exceptions import format_features
from emgmm.sources import ArraySource, Source
from emgmm.typing import Array

# Largest number of distinct values of a discrete column.
MAX_DISTINCT = 10

# Number of leading rows that are examined first, which rules out most other columns.
FIRST_ROWS = 1000


def discrete_columns(source: Source) -> tuple[int, ...]:
    """Return the columns of an array in memory with few distinct values, ignoring missing ones.

    Other sources would have to be read once more, and have no such columns.
    """
    if not isinstance(source, ArraySource) or source.n_rows <= MAX_DISTINCT:
        return ()
    return tuple(
        j
        for j, column in enumerate(source.rows.T)
        if _n_distinct(column[:FIRST_ROWS]) <= MAX_DISTINCT and _n_distinct(column) <= MAX_DISTINCT
    )


def _n_distinct(column: Array) -> int:
    return len(np.unique(column[np.logical_not(np.isnan(column))]))


def note(source: Source) -> str:
    """Return a sentence that names the discrete columns and follows another one, or ""."""
    columns = discrete_columns(source)
    if not columns:
        return ""

    described = format_features(columns, source.feature_names)
    subject = f"Column {described} is" if len(columns) == 1 else f"Columns {described} are"
    return (
        f" {subject} discrete (counted from 0): rows that share a value have no variance there. "
        "Drop such columns, or fit the rows of each value separately."
    )
