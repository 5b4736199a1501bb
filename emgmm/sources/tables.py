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


def found(column: Any, labels: list[Any] | None, width: int) -> Any:
    """A column's label, or its number where there are no labels.

    Raises
    ------
    ValueError
        Where there is no such column.
    """
    if isinstance(column, Integral) and -width <= int(column) < width:
        number = range(width)[int(column)]
        return number if labels is None else labels[number]
    if labels is not None and column in labels:
        return column
    if labels is None and not isinstance(column, Integral):
        raise ValueError(f"it is an array without names, so that column {column!r} needs a number.")
    known = f"{width} columns" if labels is None else f"the columns {', '.join(map(str, labels))}"
    raise ValueError(f"there is no column {column!r}; there are {known}.")


def chosen(
    columns: Iterable[Any] | None, weight_column: Any, labels: list[Any] | None, width: int
) -> tuple[list[Any], Any]:
    """Labels or numbers of the features, and of the weights: all columns but that, or `columns`."""
    weights = None if weight_column is None else found(weight_column, labels, width)
    if columns is not None:
        return [found(column, labels, width) for column in columns], weights
    every = list(range(width)) if labels is None else labels
    return [label for label in every if weight_column is None or label != weights], weights


def select(raw: Any, labels: list[Any]) -> Any:
    """The columns with these labels, or numbers: an array, or a table that becomes one."""
    if hasattr(raw, "column_names"):
        columns = raw.select(labels).columns
        return np.array([column.to_numpy(zero_copy_only=False) for column in columns]).T
    own = labels_of(raw)
    if labels == (list(range(raw.shape[1])) if own is None else own):
        return raw
    return raw[:, labels] if own is None else raw[labels]


def as_names(labels: Sequence[Any]) -> Array | None:
    """(D,): names of features, where all are strings."""
    if not all(isinstance(label, str) for label in labels):
        return None
    return np.array(labels, dtype=object)
