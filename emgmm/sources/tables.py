"""Tables: columns by name or number, whatever library the table is from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from emgmm.typing import Array


def labels_of(raw: Any) -> list[Any] | None:
    """What a table calls its columns; None where `raw` is an array."""
    labels = getattr(raw, "column_names", None)  # pyarrow, whose `columns` are the columns
    if labels is None:
        labels = getattr(raw, "columns", None)
    return None if labels is None else list(labels)


def width_of(raw: Any) -> int:
    """The number of columns of an array or a table."""
    labels = labels_of(raw)
    return int(raw.shape[1]) if labels is None else len(labels)


def is_number(value: Any) -> bool:
    """Whether a value is an integer and no boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def found(column: Any, labels: list[Any] | None, width: int) -> int:
    """The number of the column with this label or number.

    Raises
    ------
    ValueError
        If there is no such column, or more than one has the label.
    """
    if is_number(column) and -width <= int(column) < width:
        return range(width)[int(column)]
    if labels is not None and column in labels:
        if labels.count(column) > 1:
            raise ValueError(f"there is more than one column {column!r}: give their numbers.")
        return labels.index(column)
    if labels is None and not is_number(column):
        raise ValueError(f"it is an array without names, so that column {column!r} needs a number.")
    known = f"{width} columns" if labels is None else f"the columns {', '.join(map(str, labels))}"
    raise ValueError(f"there is no column {column!r}; there are {known}.")


def chosen(
    columns: Iterable[Any] | None, weight_column: Any, labels: list[Any] | None, width: int
) -> tuple[list[int], int | None]:
    """Numbers of the features, and of the weights: all columns but that one, or `columns`.

    Raises
    ------
    ValueError
        If there is no such column, no feature, or a column is given twice.
    """
    weights = None if weight_column is None else found(weight_column, labels, width)
    if columns is None:
        features = [column for column in range(width) if column != weights]
    else:
        features = [found(column, labels, width) for column in columns]
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
    """The columns with these numbers of an array or a table."""
    if columns == list(range(width_of(raw))):
        return raw
    if hasattr(raw, "column_names"):
        return raw.select(columns)
    return getattr(raw, "iloc", raw)[:, columns]


def as_names(labels: Sequence[Any]) -> Array | None:
    """(D,): names of features, where all are strings."""
    if not all(isinstance(label, str) for label in labels):
        return None
    return np.array(labels, dtype=object)
