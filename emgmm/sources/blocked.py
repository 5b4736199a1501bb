"""The source of rows that the user hands over in blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from emgmm.sources.block import Block
from emgmm.sources.blocks import Blocks
from emgmm.sources.cut import Cut
from emgmm.sources.source import MANY
from emgmm.sources.streamed import StreamedSource
from emgmm.sources.weights import in_slices, weighed
from emgmm.threads import cached_property, in_order, one_blas_thread
from emgmm.typing import Array


class BlocksSource(StreamedSource):
    """The rows of `blocks`.

    Parameters
    ----------
    X : Blocks
        The rows.
    sample_weight : array-like of shape (N,) or Blocks, optional
        What each row counts; 1, or what the weight column says, by default.
    """

    def __init__(self, X: Blocks, sample_weight: Any = None) -> None:
        cuts = X.read()
        first = next(cuts, None)
        if first is None:
            raise ValueError("There is no row in X: its blocks end before the first.")
        cuts.close()  # type: ignore[attr-defined]
        if first.weights is not None and sample_weight is not None:
            raise ValueError(
                f"X has a column of weights, {X.weight_column!r}, and sample_weight is given too: "
                "give one of them."
            )
        self._read = _read_with(X, sample_weight)
        self._lengths: list[int] = []
        super().__init__(first.rows.shape[1], first.rows.dtype, first.names)

    @property
    def n_rows_hint(self) -> int:
        return MANY

    @classmethod
    def accepts(cls, X: Any) -> bool:
        return isinstance(X, Blocks)

    @classmethod
    def of(cls, X: Any, sample_weight: Any) -> BlocksSource:
        return cls(X, sample_weight)

    @cached_property
    def n_rows(self) -> int:
        if not self._lengths:
            deque(self.cuts(1), maxlen=0)
        return sum(self._lengths)

    def read(self, size: int) -> Iterator[Cut]:  # noqa: ARG002
        known, lengths = self._lengths, []
        for number, cut in enumerate(self._read()):
            self._check_alike(number, cut)
            if known and (number >= len(known) or known[number] != len(cut)):
                then = f"{known[number]} rows" if number < len(known) else "not there"
                raise ValueError(
                    f"Block {number}, counted from 0, has {len(cut)} rows, but was {then} in the "
                    "first pass: the rows must stay the same while they are read."
                )
            yield replace(cut, rows=cut.rows.astype(self.dtype, copy=False))
            lengths.append(len(cut))
        if len(lengths) < len(known):
            raise ValueError(
                f"Block {len(lengths)}, counted from 0, is missing, but was there in the first "
                f"pass, which had {len(known)} blocks: the rows must stay the same while they are "
                "read."
            )
        self._lengths = lengths

    def _check_alike(self, number: int, cut: Cut) -> None:
        """A block has the width, the names and the type of the first."""
        if cut.rows.shape[1] != self.n_features:
            raise ValueError(
                f"Block {number}, counted from 0, has {cut.rows.shape[1]} features, but the first "
                f"block has {self.n_features}."
            )
        one, other = (
            None if names is None else list(names) for names in (cut.names, self.feature_names)
        )
        if one != other:
            raise ValueError(
                f"Block {number}, counted from 0, has the columns {one}, but the first block has "
                f"{other}."
            )
        if not np.can_cast(cut.rows.dtype, self.dtype):
            raise ValueError(
                f"Block {number}, counted from 0, holds {cut.rows.dtype}, but the first block "
                f"{self.dtype}: convert all blocks to one type."
            )

    def each_row(
        self, function: Callable[[Block], Array], size: int, shape: tuple[int, ...], dtype: Any
    ) -> Iterator[Array]:
        """The (B, *shape) function of every block, an array for each block that the user gave."""
        for cut in self.cuts(size):
            out = np.empty((len(cut), *shape), dtype=dtype)

            def fill(block: Block, out: Array = out, first: int = cut.start) -> None:
                out[block.place_from(first)] = function(block)

            with one_blas_thread():
                for _ in in_order(fill, cut.blocks(size)):
                    pass
            yield out


def _read_with(X: Blocks, sample_weight: Any) -> Callable[[], Iterator[Cut]]:
    """What reads the rows of blocks with their weights."""
    if sample_weight is None:
        return X.read
    if isinstance(sample_weight, Blocks):
        return lambda: _side_by_side(X.read(), sample_weight.read_weights())
    weights = in_slices(sample_weight)
    return lambda: weighed(X.read(), weights)


def _side_by_side(cuts: Iterator[Cut], weights: Iterator[Cut]) -> Iterator[Cut]:
    """Cuts with the weights that are cut alike."""
    for number, (cut, own) in enumerate(zip_longest(cuts, weights)):
        if cut is None or own is None or len(cut) != len(own):
            has, weighs = ("none" if c is None else f"{len(c)} rows" for c in (cut, own))
            raise ValueError(
                f"Block {number}, counted from 0: X has {has}, but sample_weight {weighs}; give "
                "both the same cuts."
            )
        yield replace(cut, weights=own.rows[:, 0])
