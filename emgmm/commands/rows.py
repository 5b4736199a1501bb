"""Rows of a table that can be fitted: their weights, and the columns that vary among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emgmm.commands import tables
from emgmm.commands.columns import Columns
from emgmm.commands.errors import CommandError
from emgmm.commands.output import together
from emgmm.typing import Array


@dataclass(frozen=True, eq=False)
class Rows:
    """What is fitted.

    Attributes
    ----------
    values : ndarray of shape (N, D)
        Values of the columns that vary among the rows with a weight above 0; NaN where one is
        missing.
    names : list of str
        Names of these columns.
    weights : ndarray of shape (N,) or None
        Weights of the rows.
    constant : list of str
        Columns that were left out because they do not vary.
    """

    values: Array
    names: list[str]
    weights: Array | None
    constant: list[str]

    @classmethod
    def of(cls, table: Any, columns: Columns, weights: str | None) -> Rows:
        """Take columns of a table, and the weights from the column with that name."""
        names = columns.used
        counts = None if weights is None else row_weights(table, weights)
        values = finite(table, names)
        counting = values if counts is None else values[counts > 0]
        kept = [j for j in range(len(names)) if varies(counting[:, j])]
        if not kept:
            others = together(columns.textual)
            raise CommandError(
                f"there is nothing to fit: no column ({together(names)}) varies among the rows "
                f"with a weight above 0, of which there are {len(counting)}"
                f"{others and f'; others are not numeric: {others}'}"
            )
        constant = [name for j, name in enumerate(names) if j not in kept]
        if constant:  # in the layout that the table would have had without them
            values = np.ascontiguousarray(values[:, kept])
        return cls(values, [names[j] for j in kept], counts, constant)

    def n_different(self, most: int) -> int:
        """How many different rows have a weight above 0, counted up to `most`."""
        seen: set[bytes] = set()
        for n, row in enumerate(self.values):
            if self.weights is None or self.weights[n] > 0:
                seen.add((row + 0.0).tobytes())  # which makes -0 a 0
            if len(seen) == most:
                break
        return len(seen)


def varies(values: Array) -> bool:
    """Whether two values of a column differ."""
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(known.min() < known.max())


def finite(table: Any, names: Sequence[str]) -> Array:
    """(N, D): columns as float64, NaN where a value is missing; infinite values are refused."""
    values = tables.matrix(table, names)
    found = np.argwhere(np.isinf(values))
    if len(found):
        row, column = found[0]
        raise CommandError(
            f"column {names[column]!r} is infinite in row {row + 1} of {len(values)}: remove such "
            "rows, or leave the field empty where the value is not known"
        )
    return values


def row_weights(table: Any, name: str) -> Array:
    """(N,): the weights of the rows."""
    weights = tables.matrix(table, [name])[:, 0]
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise CommandError(
            f"--weights: column {name!r} is {weights[wrong[0]]:g} in row {wrong[0] + 1} of "
            f"{len(weights)}, but weights must be finite and not negative: 0 leaves a row out"
        )
    if not weights.any():
        raise CommandError(f"--weights: column {name!r} is 0 in every row, so that none counts")
    return weights
