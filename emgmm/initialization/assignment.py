"""Assignments of rows to components, and the initial mixture that an M-step makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emgmm.covariances import Family, times_counts
from emgmm.estep import MissingEStep
from emgmm.estep.centred import component_batches, fits_in_one_batch, moments
from emgmm.estep.scratch import Scratch
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource, Rows
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.tolerances import TINY, negligible_underflow
from emgmm.typing import Array, Integers

# Smallest variance for the imputation of missing values, relative to the variance of all rows.
FLOOR = 1e-6

# Exponent of the largest number whose square is summed.
LARGEST_EXPONENT = 480

# Rows per block: enough to occupy a thread, few enough for the cache of a core.
BLOCK_ROWS = 8192


class Assignment(ABC):
    """Base class of assignments of rows, in whole or in part, to components."""

    @abstractmethod
    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        """Return the initial mixture, given the rows to which the assignment refers."""


class _RowAssignment(Assignment):
    """Responsibilities for all rows, to which an M-step is applied."""

    n_components: int

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        """Yield rows (D, n) and their weighted responsibilities (g, n) for the next components."""
        rows = np.ascontiguousarray(block.rows, dtype=np.float64)
        responsibilities = self.component_responsibilities(block)
        if block.weights is not None:
            responsibilities = responsibilities * block.weights
        return component_batches(rows, responsibilities)

    @abstractmethod
    def component_responsibilities(self, block: Block) -> Array:
        """Return the responsibilities of the Gaussian components, shape (K, B)."""

    @abstractmethod
    def noise_responsibilities(self, block: Block) -> Array:
        """Return the responsibilities of the noise component, shape (B,)."""

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        if not rows.complete:
            block = rows.block.without_zero_weights
            observed = np.logical_not(np.isnan(block.rows).all(axis=0))
            responsibilities = self.component_responsibilities(block) * observed
            noise = block.total(self.noise_responsibilities(block) * observed)
            check_any_assigned(responsibilities)
            statistics = incomplete_statistics(block, responsibilities, rows.mean, m_step.family)
            return m_step.maximise(replace(statistics, noise=noise))
        source, scratch = ArraySource(rows.values, rows.weights), Scratch()

        def about(centres: Array) -> Statistics:
            def of_block(block: Block) -> Statistics:
                sums = moments(self._parts(block), centres, m_step.family, scratch)
                noise = block.total(self.noise_responsibilities(block))
                return Statistics(centres, *sums, 0.0, block.weight, noise=noise)

            return source.sum(of_block, BLOCK_ROWS)

        statistics = about(rows.mean[None].repeat(self.n_components, axis=0))
        check_any_assigned(statistics.counts)
        return m_step.maximise_recentred(statistics, about)


class Labels(_RowAssignment):
    """A component for each row: (n,) integers, where -1 is noise."""

    def __init__(self, labels: Integers, n_components: int) -> None:
        self.labels = labels.astype(np.intp, copy=False)
        self.n_components = n_components

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        if fits_in_one_batch(self.n_components, block.rows.size):
            return super()._parts(block)
        return self._sorted(block)

    def _sorted(self, block: Block) -> Iterator[tuple[Array, Array]]:
        """Yield the rows of each component, which are sorted by component."""
        labels = self.labels[block.place]
        order = np.argsort(labels, kind="stable")
        rows = block.rows[:, order].astype(np.float64, copy=False)
        weights = np.ones(len(labels)) if block.weights is None else block.weights[order]
        start, *stops = np.bincount(labels + 1, minlength=self.n_components + 1).cumsum()
        for stop in stops:
            yield rows[:, start:stop], weights[None, start:stop]
            start = stop

    def component_responsibilities(self, block: Block) -> Array:
        return (self.labels[block.place] == np.arange(self.n_components)[:, None]).astype(float)

    def noise_responsibilities(self, block: Block) -> Array:
        return (self.labels[block.place] < 0).astype(float)


class Responsibilities(_RowAssignment):
    """Responsibilities of the components, and optionally of noise: (n, K) or (n, K + 1)."""

    def __init__(self, responsibilities: Array, n_components: int) -> None:
        self.responsibilities = responsibilities
        self.n_components = n_components

    def component_responsibilities(self, block: Block) -> Array:
        return self.responsibilities[block.place, : self.n_components].T.astype(np.float64)

    def noise_responsibilities(self, block: Block) -> Array:
        return self.responsibilities[block.place, self.n_components :].sum(axis=1, dtype=float)


class SingleRows(Assignment):
    """A single row for each component: (K,) row numbers. The other rows are not assigned."""

    def __init__(self, indices: Integers) -> None:
        self.indices = indices

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        weights = np.ones(len(rows.values)) if rows.weights is None else rows.weights
        mixture = m_step.of_single_rows(
            rows.filled[self.indices],
            weights[self.indices],
            rows.mean,
            float(weights.sum()),
            int(np.count_nonzero(weights)),
        )
        if not m_step.ridge:
            m_step.check_definite(mixture)
        return mixture


class SubsetAssignment(Assignment):
    """An assignment of a subset of the rows, given by their (n,) numbers, to the components."""

    def __init__(self, numbers: Integers, assignment: Assignment) -> None:
        self.numbers = numbers
        self.assignment = assignment

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        return self.assignment.first_mixture(rows.take(self.numbers), m_step)


def check_any_assigned(responsibilities: Array) -> None:
    """Raise if every informative row is assigned to noise."""
    if not responsibilities.any():
        raise ValueError(
            "init_params assigns every row of positive weight to noise: return labels from 0 up, "
            "or positive responsibilities of components, for some of them."
        )


def incomplete_statistics(
    block: Block, responsibilities: Array, mean: Array, family: Family
) -> Statistics:
    """Return the expected statistics of rows with missing values, given (K, B) responsibilities.

    Their conditional distribution is that of independent features, with the mean and the variance
    of the values observed in each component. `mean` is the mean of all rows.
    """
    structure, n_features = family.structure, len(block.rows)
    weighted = responsibilities if block.weights is None else responsibilities * block.weights
    seen = np.logical_not(np.isnan(block.rows.T)).astype(float)
    deviations = np.where(seen > 0, block.rows.T - mean, 0.0)
    observed = weighted @ seen
    per_row = np.divide(1.0, observed, out=np.zeros_like(observed), where=observed > TINY)
    offsets = (weighted @ deviations) * per_row
    total = weighted.sum(axis=0) @ deviations**2 / np.maximum(observed.sum(axis=0), TINY)
    variances = (weighted @ deviations**2) * per_row - offsets**2
    floor = FLOOR * np.where(total > 0, total, 1.0)
    variances = np.maximum(np.where(variances > floor, variances, total), floor)
    outer_products = structure.outer(np.sqrt(variances))
    diagonals = np.array([structure.diagonal(one) for one in outer_products])
    counts = np.maximum(weighted.sum(axis=1), FLOOR * weighted.sum())
    covariances = family.estimate(family.pool(times_counts(counts, diagonals)), counts, n_features)
    mixture = Mixture.of(counts / counts.sum(), mean + offsets, covariances, family)
    return MissingEStep(mixture).statistics(block, responsibilities)


@negligible_underflow
def nearest_means(rows: Array, means: Array) -> Labels:
    """Assign each row to the nearest of the (K, D) means, in terms of its observed features."""
    labels = np.empty(len(rows), dtype=np.intp)
    # A power of 2, so that the squares of the largest means are numbers too.
    scale = 2.0 ** -max(0, np.frexp(np.abs(means).max())[1] - LARGEST_EXPONENT)
    for block in ArraySource(rows).blocks(BLOCK_ROWS):
        distances = [
            np.nansum(((block.rows - mean[:, None]) * scale) ** 2, axis=0) for mean in means
        ]
        labels[block.place] = np.argmin(distances, axis=0)
    return Labels(labels, len(means))
