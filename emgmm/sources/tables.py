"""Selection of columns, by name or number, from tables of any library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from emgmm.typing import Array


def column_labels(raw: Any) -> list[Any] | None:
    """Return the labels of the columns of a table; None for an array."""
    # In pyarrow, `columns` holds the data.
    labels = getattr(raw, "column_names", getattr(raw, "columns", None))
    return None if labels is None else list(labels)


def n_columns(raw: Any) -> int:
    """Return the number of columns of an array or a table."""
    labels = column_labels(raw)
    return int(raw.shape[1]) if labels is None else len(labels)


def is_number(value: Any) -> bool:
    """Whether a value is an integer but not a boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def column_index(column: Any, labels: list[Any] | None, width: int) -> int:
    """Return the index of the column with this label or number.

    Raises
    ------
    ValueError
        If no column, or more than one, has the label.
    """
    if is_number(column) and -width <= int(column) < width:
        return range(width)[int(column)]
    if labels is not None and column in labels:
        if labels.count(column) > 1:
            raise ValueError(f"there is more than one column {column!r}: give their numbers.")
        return labels.index(column)
    if labels is None and not is_number(column):
        raise ValueError(f"it is an array without names: give the number of column {column!r}.")
    known = f"{width} columns" if labels is None else f"the columns {', '.join(map(str, labels))}"
    raise ValueError(f"there is no column {column!r}; there are {known}.")


def resolve_columns(
    columns: Iterable[Any] | None, weight_column: Any, labels: list[Any] | None, width: int
) -> tuple[list[int], int | None]:
    """Return the indices of the features, by default all other columns, and of the weights.

    Raises
    ------
    ValueError
        If a column does not exist or is given twice, or if no feature is left.
    """
    weights = None if weight_column is None else column_index(weight_column, labels, width)
    if columns is None:
        features = [column for column in range(width) if column != weights]
    else:
        features = [column_index(column, labels, width) for column in columns]
    if not features:
        raise ValueError("there is no column left as a feature: give at least one in columns.")
    used = [*features, weights]
    repeated = next((column for column in used if used.count(column) > 1), None)
    if repeated is not None:
        name = repeated if labels is None else labels[repeated]
        role = "as a feature and as the weights" if repeated == weights else "twice"
        raise ValueError(f"column {name!r} is given {role}: give each column once.")
    return features, weights


def select(raw: Any, columns: list[int]) -> Any:
    """Return the columns of an array or a table that have the given indices."""
    if columns == list(range(n_columns(raw))):
        return raw
    if hasattr(raw, "column_names"):
        return raw.select(columns)
    return getattr(raw, "iloc", raw)[:, columns]


def as_names(labels: Sequence[Any]) -> Array | None:
    """Return the (D,) names of features if all labels are strings, otherwise None."""
    if not all(isinstance(label, str) for label in labels):
        return None
    return np.array(labels, dtype=object)
