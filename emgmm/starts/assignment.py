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
from emgmm.sources import ArraySource, Rows
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Of a block: enough to keep a thread busy, few enough for a core's cache.
BLOCK_ROWS = 8192


class Assignment(ABC):
    """Which rows, or how much of each, every component starts with."""

    n_components: int

    @abstractmethod
    def first_mixture(self, rows: Rows, family: Family, ridge: float) -> Mixture:
        """theta_0, from the rows that the assignment is about."""


class _Shares(Assignment):
    """Every row is given to the components, so that theta_0 is an M-step."""

    @abstractmethod
    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        """Each component's rows (D, n) and what they count in it (n,)."""

    def first_mixture(self, rows: Rows, family: Family, ridge: float) -> Mixture:
        source = ArraySource(rows.values, rows.weights)

        def about(centres: Array) -> Statistics:
            def of_block(block: Block) -> Statistics:
                sums = moments(self._parts(block), centres, family)
                return Statistics(centres, *sums, 0.0, block.weight)

            return source.sum(of_block, BLOCK_ROWS)

        mean = mean_of(rows)
        statistics = about(np.broadcast_to(mean, (self.n_components, len(mean))))
        return settle(statistics, about, family, ridge, rows.values.dtype)


class Labels(_Shares):
    """One component for each row: (n,) integers."""

    def __init__(self, labels: Integers, n_components: int) -> None:
        self.labels = labels
        self.n_components = n_components

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        labels = self.labels[block.place]
        weights = np.ones(len(labels)) if block.weights is None else block.weights
        for k in range(self.n_components):
            own = labels == k
            yield block.rows[:, own].astype(np.float64), weights[own]


class Responsibilities(_Shares):
    """A share of each row for each component: (n, K)."""

    def __init__(self, responsibilities: Array) -> None:
        self.responsibilities = responsibilities
        self.n_components = responsibilities.shape[1]

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        rows = np.ascontiguousarray(block.rows, dtype=np.float64)
        for own in self.responsibilities[block.place].T.astype(np.float64):
            yield rows, own if block.weights is None else own * block.weights


class SingleRows(Assignment):
    """One row for each component, and all others for none: (K,) row numbers."""

    def __init__(self, indices: Integers) -> None:
        self.indices = indices
        self.n_components = len(indices)

    def first_mixture(self, rows: Rows, family: Family, ridge: float) -> Mixture:
        chosen, n_rows = rows.values[self.indices], len(rows.values)
        dtype = chosen.dtype
        weights = np.ones(n_rows) if rows.weights is None else rows.weights
        own, total = weights[self.indices].astype(dtype), weights.sum()
        empty = dtype.type(10 * np.finfo(dtype).eps * min(1.0, total))  # scikit-learn's
        mass = own + empty
        covariances = family.of_single_rows(chosen, mass / own, mean_of(rows))
        covariances = family.add_ridge(covariances, ridge)
        # Weights are shares of all rows, as in scikit-learn: 1/n each, not 1/K.
        shares = (mass / total).astype(dtype)
        return Mixture.of(shares, chosen / (mass / own)[:, None], covariances, family)


def mean_of(rows: Rows) -> Array:
    """(D,): the weighted mean."""
    if rows.weights is None:
        return rows.values.mean(axis=0, dtype=np.float64)
    return rows.weights @ rows.values / rows.weights.sum()


def nearest(rows: Array, means: Array) -> Labels:
    """Every row goes to the nearest of the (K, D) means."""
    labels = np.empty(len(rows), dtype=np.intp)
    for block in ArraySource(rows).blocks(BLOCK_ROWS):
        distances = [((block.rows - mean[:, None]) ** 2).sum(axis=0) for mean in means]
        labels[block.place] = np.argmin(distances, axis=0)
    return Labels(labels, len(means))
