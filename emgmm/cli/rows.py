"""Rows of a table with their weights, and choice of the columns that are fitted."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.cli.tables import Table, matrix
from emgmm.cli.terminal import CommandError, abbreviate, join_names, note, wrap, write_text
from emgmm.sources import blocks
from emgmm.summary import LARGEST
from emgmm.typing import Array, Integers

# Largest number of values that are kept in memory; each pass over a larger table reads the file.
IN_MEMORY = 2**22

# Largest number of distinct rows that are counted, which is enough for any number of components.
MAX_DISTINCT = 2**16

# Rows and their weights, if they have any.
Piece = tuple[Array, Array | None]


@dataclass(frozen=True, eq=False)
class InputRows:
    """Rows to fit.

    Parameters
    ----------
    names : list of str
        Names of the columns that vary among the rows of positive weight.
    n_rows : int
        Number of rows.
    pieces : callable
        Function that returns an iterable of pieces: float64 rows, with NaN for missing values, and
        their weights.
    in_memory : bool
        Whether there is a single piece, which is kept in memory.
    n_missing : int
        Number of missing values.
    constant : tuple of str
        Names of the columns that were left out because they do not vary.
    textual : list of str
        Columns that were left out because they are not numeric, in the form in which they are
        printed: each with a value that is not a number.
    identifiers : list of str
        Names of columns that were left out because they number the rows.
    """

    names: list[str]
    n_rows: int
    pieces: Callable[[], Iterable[Piece]]
    in_memory: bool = True
    n_missing: int = 0
    constant: tuple[str, ...] = ()
    textual: Sequence[str] = ()
    identifiers: Sequence[str] = ()

    @classmethod
    def of(cls, table: Table, options: Namespace) -> InputRows:
        """Select the columns of a table to fit, and the column with the weights."""
        names, textual, identifiers = chosen_columns(table, options)
        weights = options.weights
        pieces = partial(read_finite, table, names, weights, largest=LARGEST**0.5)
        rows = cls(names, table.n_rows, pieces, in_memory=False)
        if table.n_rows * len(names) <= IN_MEMORY:
            rows = rows.loaded()
        n_positive, varies, missing = survey(rows)
        if weights is not None and not n_positive:
            raise CommandError(
                f"--weights: column {weights!r} is 0 in every row, so that there is nothing to fit"
            )
        varying = np.flatnonzero(varies)
        if not len(varying):
            others = ", ".join(textual)
            raise CommandError(
                f"there is nothing to fit: no column ({join_names(names)}) varies among the rows "
                f"with a weight above 0, of which there are {n_positive}"
                f"{others and f'; others are not numeric: {others}'}"
            )
        if len(varying) < len(names):
            rows = rows.mapped(lambda values: np.ascontiguousarray(values[:, varying]))
        return replace(
            rows,
            names=[names[j] for j in varying],
            n_missing=int(missing[varying].sum()),
            constant=tuple(name for j, name in enumerate(names) if j not in varying),
            textual=textual,
            identifiers=identifiers,
        )

    def introduce(self, path: Path) -> None:
        """Report the columns that are fitted and those that were left out."""
        write_text(wrap(f"{path}: {self.n_rows} rows; columns used: {join_names(self.names)}"))
        if self.textual:
            write_text(wrap(f"Left out because they are not numeric: {', '.join(self.textual)}"))
        if self.identifiers:
            write_text(wrap(f"Left out as row identifiers: {join_names(self.identifiers)}"))
        if self.n_missing:
            count = "1 value is" if self.n_missing == 1 else f"{self.n_missing} values are"
            write_text(f"{count} missing; the likelihood is that of the others.")
        if self.constant:
            note(f"columns that do not vary are left out: {join_names(self.constant)}")

    def loaded(self) -> InputRows:
        """Read the rows into memory."""
        parts, weights = zip(*self.pieces(), strict=True)
        counts = None if weights[0] is None else np.concatenate(weights)
        piece = np.concatenate(parts), counts
        return replace(self, pieces=lambda: (piece,), in_memory=True)

    def mapped(self, function: Callable[[Array], Array]) -> InputRows:
        """Apply a function to the rows and keep their weights."""
        mapped = replace(
            self, pieces=lambda: ((function(values), weights) for values, weights in self.pieces())
        )
        return mapped.loaded() if self.in_memory else mapped

    def for_estimator(self) -> tuple[Any, Array | None]:
        """Return X and `sample_weight`, which are arrays, or blocks with a column of weights."""
        if self.in_memory:
            [piece] = self.pieces()
            return piece
        has_weights = next(iter(self.pieces()))[1] is not None
        return blocks(self._joined, weight_column=len(self.names) if has_weights else None), None

    def _joined(self) -> Iterator[Array]:
        """Yield the pieces with the weights as the last column."""
        for values, weights in self.pieces():
            yield values if weights is None else np.column_stack((values, weights))

    def n_distinct(self, most: int) -> int:
        """Count the distinct rows of positive weight, up to `most`."""
        seen: set[bytes] = set()
        most = min(most, MAX_DISTINCT)
        for values, weights in self.pieces():
            for row in values if weights is None else values[weights > 0]:
                seen.add((row + 0.0).tobytes())  # -0.0 + 0.0 is 0.0
                if len(seen) == most:
                    return self.n_rows if most == MAX_DISTINCT else most
        return len(seen)


def chosen_columns(table: Table, options: Namespace) -> tuple[list[str], list[str], list[str]]:
    """Return the columns named in the command line, or by default all numeric columns.

    The other values are the columns that are left out by default: those that are not numeric, as
    they are printed, and the names of those that number the rows.
    """
    excluded = options.exclude or []
    if options.weights is not None:
        table.check_columns([options.weights], "--weights")
    table.check_names(excluded, "--exclude")
    if options.columns is not None:
        table.check_columns(options.columns, "--columns")
        both = [name for name in options.columns if name in excluded]
        if both:
            raise CommandError(
                f"--columns and --exclude both name {both[0]!r}: name it in one of them only"
            )
        return options.columns, [], []
    names = [name for name in table.names if name not in (*excluded, options.weights)]
    numeric = [name for name in names if table.is_numeric(name)]
    textual = [abbreviate(name) + table.cause(name) for name in names if name not in numeric]
    identifiers = table.row_numbers(numeric)
    used = [name for name in numeric if name not in identifiers]
    if used:
        return used, textual, identifiers
    problem = "no column is left to fit"
    if numeric:
        problem = (
            f"the numeric columns ({join_names(identifiers)}) only number the rows; name them in "
            "--columns if they are to be fitted"
        )
    elif names:
        problem = f"no column is numeric: {', '.join(textual)}"
    raise CommandError(f"{options.data}: {problem}")


def survey(rows: InputRows) -> tuple[int, NDArray[np.bool_], Integers]:
    """Summarize rows in one pass.

    Returns
    -------
    n_positive : int
        Number of rows of positive weight.
    varies : ndarray of bool of shape (D,)
        Whether each column varies among these rows.
    missing : ndarray of int of shape (D,)
        Number of missing values of each column.
    """
    D = len(rows.names)
    n_positive, missing = 0, np.zeros(D, dtype=np.int64)
    low, high = np.full(D, np.inf), np.full(D, -np.inf)
    for values, weights in rows.pieces():
        missing += np.isnan(values).sum(axis=0)
        some = values if weights is None else values[weights > 0]
        n_positive += len(some)
        if len(some):
            low = np.fmin(low, np.fmin.reduce(some, axis=0))
            high = np.fmax(high, np.fmax.reduce(some, axis=0))
    return n_positive, low < high, missing


def read_finite(
    table: Table, names: list[str], weights: str | None = None, largest: float = np.inf
) -> Iterator[Piece]:
    """Yield rows, with NaN for missing values, and weights; raise an error for invalid ones.

    Values whose absolute value exceeds `largest` are not valid.
    """
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
        found = np.argwhere(np.abs(values) > largest)
        if len(found):
            row, column = found[0]
            raise CommandError(
                f"column {names[column]!r} is {values[row, column]:g} in row {start + row + 1} of "
                f"{table.n_rows}, whose square may overflow: express the column in other units"
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


def check_in_reach(log_densities: Array, start: int, n_rows: int) -> None:
    """Raise an error if the log-density of a row is -inf; `start` is the number of rows before."""
    far = np.flatnonzero(np.isneginf(log_densities))
    if len(far):
        raise CommandError(
            f"row {start + far[0] + 1} of {n_rows} is so far from all components that none is more "
            "probable than another: remove such rows"
        )
