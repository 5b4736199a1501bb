"""The source of rows that the user provides in blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from emgmm.sources.blocks import Blocks
from emgmm.sources.known import LabelRules
from emgmm.sources.row_group import RowGroup
from emgmm.sources.source import UNKNOWN_N_ROWS, PerRow
from emgmm.sources.streamed import StreamedSource
from emgmm.sources.weights import attach_weights, sliceable_weights
from emgmm.threads import cached_property, one_blas_thread


class BlocksSource(StreamedSource):
    """Rows of a `Blocks` object.

    Parameters
    ----------
    X : Blocks
        Blocks of rows.
    sample_weight : array-like of shape (N,) or Blocks, optional
        Weight of each row; the weight column of X, or 1, by default.
    """

    n_rows_hint = UNKNOWN_N_ROWS

    def __init__(self, X: Blocks, sample_weight: Any = None) -> None:
        groups = X.read()
        first = next(groups, None)
        if first is None:
            raise ValueError("There is no row in X: it yields no blocks.")
        groups.close()  # type: ignore[attr-defined]
        if first.weights is not None and sample_weight is not None:
            raise ValueError(
                f"X has a column of weights, {X.weight_column!r}, and sample_weight is given as "
                "well: give only one of them."
            )
        if sample_weight is None:
            self._read = X.read
        elif isinstance(sample_weight, Blocks):
            self._read = lambda: _attach_blocks(X.read(), sample_weight.read_weights())
        else:
            weights = sliceable_weights(sample_weight)
            self._read = lambda: attach_weights(X.read(), weights)
        self._lengths: list[int] = []
        super().__init__(first.rows.shape[1], first.rows.dtype, first.names)

    @classmethod
    def accepts(cls, X: Any) -> bool:
        return isinstance(X, Blocks)

    def attach_labels(self, labels: Any, rules: LabelRules) -> None:
        if isinstance(labels, Blocks):
            self._attach(KnownInBlocks(labels, rules))
        else:
            super().attach_labels(labels, rules)

    @cached_property
    def n_rows(self) -> int:
        if not self._lengths:
            deque(self.row_groups(1), maxlen=0)
        return sum(self._lengths)

    def read(self, size: int) -> Iterator[RowGroup]:  # noqa: ARG002
        known, lengths = self._lengths, []
        for number, (group, length) in enumerate(zip_longest(self._read(), known)):
            if known and (group is None or len(group) != length):
                now = "is missing" if group is None else f"has {len(group)} rows"
                before = "did not exist" if length is None else f"had {length} rows"
                raise ValueError(
                    f"Block {number}, counted from 0, {now}, but {before} in the first pass: the "
                    "rows must stay the same while they are read."
                )
            self._check_consistency(number, group)
            yield replace(group, rows=group.rows.astype(self.dtype, copy=False))
            lengths.append(len(group))
        self._lengths = lengths

    def _check_consistency(self, number: int, group: RowGroup) -> None:
        """Raise if a block differs from the first in its number or names of features or type."""
        pair = (group.names, self.feature_names)
        names = [None if each is None else list(each) for each in pair]
        dtype = np.promote_types(group.rows.dtype, self.dtype)  # float32 can become float64
        for has, own, first in (
            ("{} features", group.rows.shape[1], self.n_features),
            ("the columns {}", names[0], names[1]),
            ("the type {}", dtype, self.dtype),
        ):
            if own != first:
                raise ValueError(
                    f"Block {number}, counted from 0, has {has.format(own)}, but the first block "
                    f"has {first}: give all blocks the same features and type."
                )

    def each_row(self, function: PerRow, size: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """Yield the values of a (B, *shape) function, one array for each block of the user's."""
        for group in self.row_groups(size):
            out = np.empty((len(group), *shape), dtype=dtype)
            with one_blas_thread():
                self._fill(out, function, group.blocks(size), group.start)
            yield out


def _attach_blocks(groups: Iterator[RowGroup], weights: Iterator[RowGroup]) -> Iterator[RowGroup]:
    """Yield row groups with their weights, which must come in groups of the same lengths."""
    for number, (group, own) in enumerate(zip_longest(groups, weights)):
        if group is None or own is None or len(group) != len(own):
            raise unequal_blocks(number, group, own, "sample_weight")
        yield replace(group, weights=own.rows[:, 0])


def unequal_blocks(
    number: int, group: RowGroup | None, own: RowGroup | None, name: str
) -> ValueError:
    """Return the error of a block of X and a block of another argument with different lengths."""
    rows, entries = ("no block" if each is None else f"{len(each)} rows" for each in (group, own))
    return ValueError(
        f"Block {number}, counted from 0: X has {rows}, but {name} has {entries}; divide both into "
        "the same blocks."
    )


class KnownInBlocks:
    """Labels or responsibilities of all rows, read in the same blocks as the rows."""

    def __init__(self, labels: Blocks, rules: LabelRules) -> None:
        self.labels = labels
        self.rules = rules

    def attached_to(self, groups: Iterator[RowGroup]) -> Iterator[RowGroup]:
        """Yield row groups together with what is known of their rows."""
        start = 0
        for number, (group, own) in enumerate(zip_longest(groups, self.labels.read_labels())):
            if group is None or own is None or len(group) != len(own):
                raise unequal_blocks(number, group, own, "labels")
            named = replace(group, start=start)
            yield replace(group, known=self.rules(own.rows, named.row_name))
            start += len(group)
