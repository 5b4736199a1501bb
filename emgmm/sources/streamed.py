"""The base class of sources that read their rows anew in every pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from emgmm.sources.block import Block
from emgmm.sources.finite import is_complete
from emgmm.sources.known import LabelRules
from emgmm.sources.labels import KnownInMemory, KnownRows
from emgmm.sources.row_group import ENTRIES, RowGroup
from emgmm.sources.source import Rows, Source, sample_indices
from emgmm.sources.weights import check_any_positive, check_ordinary, check_values
from emgmm.typing import Array


class StreamedSource(Source):
    """A source that reads its rows in each pass.

    The first complete pass checks the rows for infinity and missing values, and validates the
    weights; later passes rely on its results.
    """

    def __init__(self, n_features: int, dtype: np.dtype[Any], names: Array | None = None) -> None:
        self.n_features = n_features
        self.dtype = dtype
        self.feature_names = names
        self._complete: bool | None = None  # unknown before the first complete pass
        self._known: KnownRows | None = None

    def attach_labels(self, labels: Any, rules: LabelRules) -> None:
        self._attach(KnownInMemory(rules(labels)))

    def _attach(self, known: KnownRows) -> None:
        self._known, self.has_labels = known, True

    @abstractmethod
    def read(self, size: int) -> Iterator[RowGroup]:
        """Yield all rows in order, preferably in groups whose lengths are multiples of `size`."""

    def row_groups(self, size: int) -> Iterator[RowGroup]:
        """Yield all rows in order, with the numbers of their first rows; the first pass checks."""
        checking, all_complete, any_positive = self._complete is None, True, False
        start, width, groups = 0, self.n_features, self.read(size)
        for group in groups if self._known is None else self._known.attached_to(groups):
            group = replace(group, start=start, complete=bool(self._complete))
            if checking:
                complete = is_complete(group.rows, self.feature_names, group.row_name)
                group = replace(group, complete=complete)
                all_complete = all_complete and complete
                if group.weights is not None:
                    check_values(group.weights, group.row_name)
                    check_ordinary(float(group.weights.max(initial=1.0)), "reaches")
                any_positive = any_positive or group.weights is None or bool(group.weights.any())
            yield group
            start += len(group)
        if not start:
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {width})) while a minimum of 1 is "
                "required."
            )
        if checking:
            check_any_positive(any_positive)
            self._complete = all_complete

    def blocks(self, size: int) -> Iterator[Block]:
        for group in self.row_groups(size):
            yield from group.blocks(size)

    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        chosen = sample_indices(self.n_rows, limit, random)
        values = np.empty((len(chosen), self.n_features), self.dtype)
        weights = None
        for group in self.row_groups(max(1, ENTRIES // self.n_features)):
            first, last = np.searchsorted(chosen, (group.start, group.start + len(group)))
            own = chosen[first:last] - group.start
            values[first:last] = group.rows[own]
            if group.weights is not None:
                weights = np.empty(len(chosen)) if weights is None else weights
                weights[first:last] = group.weights[own]
        return Rows(values, weights, bool(self._complete), chosen, self.n_rows)
