"""Rows of a table that can be fitted: their weights, and the columns that vary among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.cli.columns import Columns
from emgmm.cli.errors import CommandError
from emgmm.cli.output import together
from emgmm.cli.tables import Table, matrix
from emgmm.sources import blocks
from emgmm.typing import Array, Integers

# Numbers, 32 MB of them, that are kept in memory; of a larger table each pass reads all rows anew.
IN_MEMORY = 2**22

# Different rows that are counted; a table that has more has enough for any number of components.
COUNTED = 2**16

# Rows, and their weights if they have any.
Piece = tuple[Array, Array | None]


@dataclass(frozen=True, eq=False)
class InputRows:
    """What is fitted.

    Parameters
    ----------
    names : list of str
        Names of the columns that vary among the rows with a weight above 0.
    n_rows : int
        Number of rows.
    pieces : callable
        Returns the rows with their weights, piece by piece: float64, NaN where a value is missing.
    in_memory : bool
        Whether there is one piece, which is kept in memory.
    constant : list of str
        Columns that were left out because they do not vary.
    n_missing : int
        How many values are missing.
    """

    names: list[str]
    n_rows: int
    pieces: Callable[[], Iterable[Piece]]
    in_memory: bool = True
    constant: tuple[str, ...] = ()
    n_missing: int = 0

    @classmethod
    def of(cls, table: Table, columns: Columns, weights: str | None) -> InputRows:
        """Take columns of a table, and the weights from the column with that name."""
        names = columns.used
        rows = cls(names, table.n_rows, lambda: finite(table, names, weights), in_memory=False)
        if table.n_rows * len(names) <= IN_MEMORY:
            rows = rows.loaded()
        counting, varies, missing = survey(rows)
        if weights is not None and not counting:
            raise CommandError(
                f"--weights: column {weights!r} is 0 in every row, so that none counts"
            )
        kept = np.flatnonzero(varies)
        if not len(kept):
            others = ", ".join(columns.textual)
            raise CommandError(
                f"there is nothing to fit: no column ({together(names)}) varies among the rows "
                f"with a weight above 0, of which there are {counting}"
                f"{others and f'; others are not numeric: {others}'}"
            )
        if len(kept) < len(names):
            rows = rows.mapped(lambda values: np.ascontiguousarray(values[:, kept]))
        return replace(
            rows,
            names=[names[j] for j in kept],
            constant=tuple(name for j, name in enumerate(names) if j not in kept),
            n_missing=int(missing[kept].sum()),
        )

    def loaded(self) -> InputRows:
        """The same rows, in memory."""
        parts, weights = zip(*self.pieces(), strict=True)
        counts = None if weights[0] is None else np.concatenate(weights)
        piece = np.concatenate(parts), counts
        return replace(self, pieces=lambda: (piece,), in_memory=True)

    def mapped(self, function: Callable[[Array], Array]) -> InputRows:
        """A function of the rows, with their weights."""
        mapped = replace(
            self,
            pieces=lambda: ((function(values), weights) for values, weights in self.pieces()),
        )
        return mapped.loaded() if self.in_memory else mapped

    def for_estimator(self) -> tuple[Any, Array | None]:
        """X and `sample_weight`: arrays, or blocks with a column of weights."""
        if self.in_memory:
            [piece] = self.pieces()
            return piece
        has_weights = next(iter(self.pieces()))[1] is not None
        return blocks(self._joined, weight_column=len(self.names) if has_weights else None), None

    def _joined(self) -> Iterator[Array]:
        """The rows piece by piece, with the weights as the last column."""
        for values, weights in self.pieces():
            yield values if weights is None else np.column_stack((values, weights))

    def n_different(self, most: int) -> int:
        """How many different rows have a weight above 0, counted up to `most`."""
        seen: set[bytes] = set()
        most = min(most, COUNTED)
        for values, weights in self.pieces():
            for row in values if weights is None else values[weights > 0]:
                seen.add((row + 0.0).tobytes())  # which makes -0 a 0
                if len(seen) == most:
                    return self.n_rows if most == COUNTED else most
        return len(seen)


def survey(rows: InputRows) -> tuple[int, NDArray[np.bool_], Integers]:
    """How many rows count, whether each column varies among them, and how many values it misses."""
    D = len(rows.names)
    counting, missing = 0, np.zeros(D, dtype=np.int64)
    low, high = np.full(D, np.inf), np.full(D, -np.inf)
    for values, weights in rows.pieces():
        missing += np.isnan(values).sum(axis=0)
        some = values if weights is None else values[weights > 0]
        counting += len(some)
        if len(some):
            low = np.fmin(low, np.fmin.reduce(some, axis=0))
            high = np.fmax(high, np.fmax.reduce(some, axis=0))
    return counting, low < high, missing


def finite(table: Table, names: list[str], weights: str | None = None) -> Iterator[Piece]:
    """Columns as float64, NaN where a value is missing, and weights; what cannot be is refused."""
    start = 0
    wanted = names if weights is None else [*names, weights]
    for batch in table.batches(list(dict.fromkeys(wanted))):
        values = matrix(batch.select(names))
        found = np.argwhere(np.isinf(values))
        if len(found):
            row, column = found[0]
            raise CommandError(
                f"column {names[column]!r} is infinite in row {start + row + 1} of "
                f"{table.n_rows}: remove such rows, or leave the field empty where the value is "
                "not known"
            )
        counts = None
        if weights is not None:
            counts = matrix(batch.select([weights]))[:, 0]
            wrong = np.flatnonzero(~(np.isfinite(counts) & (counts >= 0)))
            if len(wrong):
                raise CommandError(
                    f"--weights: column {weights!r} is {counts[wrong[0]]:g} in row "
                    f"{start + wrong[0] + 1} of {table.n_rows}, but weights must be finite and not "
                    "negative: 0 leaves a row out"
                )
        yield values, counts
        start += len(values)
