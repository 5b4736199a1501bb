"""Rows that are read anew, cut by cut, in every pass; the first pass finds out what there is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from emgmm.sources.block import Block
from emgmm.sources.cut import ENTRIES, Cut
from emgmm.sources.finite import is_complete
from emgmm.sources.source import Rows, Source, sample_indices
from emgmm.sources.weights import check_each, check_ordinary, check_some
from emgmm.typing import Array


class StreamedSource(Source):
    """Rows that are read in each pass.

    The first whole pass looks for infinity, for what is missing and for weights that will not do,
    so that the later ones need not.
    """

    def __init__(self, n_features: int, dtype: np.dtype[Any], names: Array | None = None) -> None:
        self.n_features = n_features
        self.dtype = dtype
        self.feature_names = names
        self._seen = False
        self._complete = False

    @abstractmethod
    def read(self, size: int) -> Iterator[Cut]:
        """One pass over the rows, best in multiples of `size`."""

    def cuts(self, size: int) -> Iterator[Cut]:
        """One pass, looked through; each cut knows where it stands."""
        looking, all_complete, counting = not self._seen, True, False
        start, width = 0, self.n_features
        for cut in self.read(size):
            complete = self._complete
            if looking:
                complete = is_complete(cut.rows, self.feature_names, start)
                all_complete = all_complete and complete
                if cut.weights is not None:
                    check_each(cut.weights, start)
                    check_ordinary(float(cut.weights.max(initial=1.0)))
                counting = counting or cut.weights is None or bool(cut.weights.any())
            yield replace(cut, start=start, complete=complete)
            start += len(cut)
        if not start:
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {width})) while a minimum of 1 is "
                "required."
            )
        if looking:
            check_some(counting)
            self._seen, self._complete = True, all_complete

    def blocks(self, size: int) -> Iterator[Block]:
        for cut in self.cuts(size):
            yield from cut.blocks(size)

    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        chosen = sample_indices(self.n_rows, limit, random)
        values = np.empty((len(chosen), self.n_features), self.dtype)
        weights = None
        for cut in self.cuts(max(1, ENTRIES // self.n_features)):
            first, last = np.searchsorted(chosen, (cut.start, cut.start + len(cut)))
            own = chosen[first:last] - cut.start
            values[first:last] = cut.rows[own]
            if cut.weights is not None:
                weights = np.empty(len(chosen)) if weights is None else weights
                weights[first:last] = cut.weights[own]
        return Rows(values, weights, self._complete)
