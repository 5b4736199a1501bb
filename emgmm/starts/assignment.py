"""What a start says of its rows, and the mixture that an ordinary M-step makes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from emgmm.block import Block
from emgmm.expectation import moments
from emgmm.families import Family
from emgmm.maximization import settle
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Of a block: enough to keep a thread busy, few enough for a core's cache.
BLOCK_ROWS = 8192


class Assignment(ABC):
    """Which rows, or how much of each, every component starts with."""

    n_components: int

    @abstractmethod
    def first_mixture(self, rows: Array, family: Family, ridge: float) -> Mixture:
        """theta_0, from the (n, D) rows that the assignment is about."""


class _Shares(Assignment):
    """Every row is given to the components, so that theta_0 is an M-step."""

    @abstractmethod
    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        """Each component's rows (D, n) and their responsibilities (n,)."""

    def first_mixture(self, rows: Array, family: Family, ridge: float) -> Mixture:
        source = ArraySource(rows)
        n_features = rows.shape[1]

        def about(centres: Array) -> Statistics:
            def of_block(block: Block) -> Statistics:
                sums = moments(self._parts(block), centres, family)
                return Statistics(centres, *sums, 0.0, block.rows.shape[1])

            return source.sum(of_block, BLOCK_ROWS)

        mean = rows.mean(axis=0, dtype=np.float64)
        statistics = about(np.broadcast_to(mean, (self.n_components, n_features)))
        return settle(statistics, about, family, ridge, rows.dtype)


class Labels(_Shares):
    """One component for each row: (n,) integers."""

    def __init__(self, labels: Integers, n_components: int) -> None:
        self.labels = labels
        self.n_components = n_components

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        labels = self.labels[block.place]
        rows = block.rows[:, np.argsort(labels, kind="stable")].astype(np.float64, copy=False)
        ones = np.ones(len(labels))
        start = 0
        for stop in np.bincount(labels, minlength=self.n_components).cumsum():
            yield rows[:, start:stop], ones[start:stop]
            start = stop


class Responsibilities(_Shares):
    """A share of each row for each component: (n, K)."""

    def __init__(self, responsibilities: Array) -> None:
        self.responsibilities = responsibilities
        self.n_components = responsibilities.shape[1]

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        rows = np.ascontiguousarray(block.rows, dtype=np.float64)
        for own in self.responsibilities[block.place].T:
            yield rows, own.astype(np.float64)


class SingleRows(Assignment):
    """One row for each component, and all others for none: (K,) row numbers."""

    def __init__(self, indices: Integers) -> None:
        self.indices = indices
        self.n_components = len(indices)

    def first_mixture(self, rows: Array, family: Family, ridge: float) -> Mixture:
        chosen = rows[self.indices]
        empty = 10 * np.finfo(rows.dtype).eps  # scikit-learn's, in the precision of the rows
        mass = np.full(self.n_components, 1 + empty, dtype=rows.dtype)
        mean = rows.mean(axis=0, dtype=np.float64)
        covariances = family.add_ridge(family.of_single_rows(chosen, mass, mean), ridge)
        # Weights are shares of all rows, as in scikit-learn: 1/n each, not 1/K.
        return Mixture.of(mass / len(rows), chosen / mass[:, None], covariances, family)


def nearest(rows: Array, means: Array) -> Labels:
    """Every row goes to the nearest of the (K, D) means."""
    labels = np.empty(len(rows), dtype=np.intp)
    for block in ArraySource(rows).blocks(BLOCK_ROWS):
        distances = [((block.rows - mean[:, None]) ** 2).sum(axis=0) for mean in means]
        labels[block.place] = np.argmin(distances, axis=0)
    return Labels(labels, len(means))
