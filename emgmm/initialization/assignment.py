"""What a start says of its rows, and the mixture that an ordinary M-step makes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emgmm.covariances import Family, times_counts
from emgmm.estep import MissingEStep, Scratch, component_batches, fits_in_one_batch, moments
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource, Rows
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

TINY = float(np.finfo(float).tiny)

# Smallest variance by which the missing is judged, as a share of all rows'.
FLOOR = 1e-6

# Of a block: enough to keep a thread busy, few enough for a core's cache.
BLOCK_ROWS = 8192


class Assignment(ABC):
    """Which rows, or how much of each, every component starts with."""

    n_components: int

    @abstractmethod
    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        """theta_0, from the rows that the assignment is about."""


class _Shares(Assignment):
    """Every row is given to the components, or to noise, so that theta_0 is an M-step."""

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        """Rows (D, n), and what they count in the next g components (g, n)."""
        rows = np.ascontiguousarray(block.rows, dtype=np.float64)
        shares = self.shares(block)
        return component_batches(rows, shares if block.weights is None else shares * block.weights)

    @abstractmethod
    def shares(self, block: Block) -> Array:
        """(K, B): how much of each row every component has."""

    @abstractmethod
    def astray(self, block: Block) -> Array:
        """(B,): how much of each row is noise."""

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        if not rows.complete:
            block = rows.block.without_zero_weights
            observed = np.logical_not(np.isnan(block.rows).all(axis=0))
            shares, astray = self.shares(block) * observed, self.astray(block) * observed
            check_some_held(shares)
            statistics = observed_statistics(block, shares, rows.mean, m_step.family)
            return m_step.maximise(replace(statistics, noise=block.total(astray)))
        source, scratch = ArraySource(rows.values, rows.weights), Scratch()

        def about(centres: Array) -> Statistics:
            def of_block(block: Block) -> Statistics:
                sums = moments(self._parts(block), centres, m_step.family, scratch)
                astray = block.total(self.astray(block))
                return Statistics(centres, *sums, 0.0, block.weight, noise=astray)

            return source.sum(of_block, BLOCK_ROWS)

        statistics = about(np.broadcast_to(rows.mean, (self.n_components, len(rows.mean))))
        check_some_held(statistics.counts)
        return m_step.maximise_recentred(statistics, about)


class Labels(_Shares):
    """One component for each row: (n,) integers, of which -1 is noise."""

    def __init__(self, labels: Integers, n_components: int) -> None:
        self.labels = labels.astype(np.intp, copy=False)
        self.n_components = n_components

    def _parts(self, block: Block) -> Iterator[tuple[Array, Array]]:
        if fits_in_one_batch(self.n_components, block.rows.size):
            return super()._parts(block)
        return self._sorted(block)

    def _sorted(self, block: Block) -> Iterator[tuple[Array, Array]]:
        """Each component's own rows."""
        labels = self.labels[block.place]
        order = np.argsort(labels, kind="stable")
        rows = block.rows[:, order].astype(np.float64, copy=False)
        weights = np.ones(len(labels)) if block.weights is None else block.weights[order]
        start, *stops = np.bincount(labels + 1, minlength=self.n_components + 1).cumsum()
        for stop in stops:
            yield rows[:, start:stop], weights[None, start:stop]
            start = stop

    def shares(self, block: Block) -> Array:
        return (self.labels[block.place] == np.arange(self.n_components)[:, None]).astype(float)

    def astray(self, block: Block) -> Array:
        return (self.labels[block.place] < 0).astype(float)


class Responsibilities(_Shares):
    """A share of each row for each component, and maybe for noise: (n, K) or (n, K + 1)."""

    def __init__(self, responsibilities: Array, n_components: int) -> None:
        self.responsibilities = responsibilities
        self.n_components = n_components

    def shares(self, block: Block) -> Array:
        return self.responsibilities[block.place, : self.n_components].T.astype(np.float64)

    def astray(self, block: Block) -> Array:
        return self.responsibilities[block.place, self.n_components :].sum(axis=1, dtype=float)


class SingleRows(Assignment):
    """One row for each component, and all others for none: (K,) row numbers."""

    def __init__(self, indices: Integers) -> None:
        self.indices = indices
        self.n_components = len(indices)

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        weights = np.ones(len(rows.values)) if rows.weights is None else rows.weights
        return m_step.of_single_rows(
            rows.filled[self.indices],
            weights[self.indices],
            rows.mean,
            float(weights.sum()),
            int(np.count_nonzero(weights)),
        )


class OfSome(Assignment):
    """What is said of some rows, (n,) row numbers; the others have no part in theta_0."""

    def __init__(self, numbers: Integers, assignment: Assignment) -> None:
        self.numbers = numbers
        self.assignment = assignment
        self.n_components = assignment.n_components

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        return self.assignment.first_mixture(rows.take(self.numbers), m_step)


def check_some_held(shares: Array) -> None:
    """Raise where a start leaves to noise all rows of which components could have shares."""
    if not shares.any():
        raise ValueError(
            "init_params leaves every row that counts to noise: return labels from 0 up, or "
            "responsibilities of components, for some of them."
        )


def observed_statistics(block: Block, shares: Array, mean: Array, family: Family) -> Statistics:
    """Expected statistics of rows that miss something, under (K, B) responsibilities.

    What is missing is judged by the means and variances of what each component was given, as if its
    features were independent. `mean` is that of all rows.
    """
    shape, n_features = family.structure, len(block.rows)
    weighted = shares if block.weights is None else shares * block.weights
    seen = np.logical_not(np.isnan(block.rows.T)).astype(float)
    deviations = np.where(seen > 0, block.rows.T - mean, 0.0)
    observed = weighted @ seen
    per_row = np.divide(1.0, observed, out=np.zeros_like(observed), where=observed > TINY)
    steps = (weighted @ deviations) * per_row
    total = weighted.sum(axis=0) @ deviations**2 / np.maximum(observed.sum(axis=0), TINY)
    variances = (weighted @ deviations**2) * per_row - steps**2
    floor = FLOOR * np.where(total > 0, total, 1.0)
    variances = np.maximum(np.where(variances > floor, variances, total), floor)
    diagonals = np.array([shape.diagonal(one) for one in shape.outer(np.sqrt(variances))])
    counts = np.maximum(weighted.sum(axis=1), FLOOR * weighted.sum())
    covariances = family.estimate(family.pool(times_counts(counts, diagonals)), counts, n_features)
    judge = Mixture.of(counts / counts.sum(), mean + steps, covariances, family)
    return MissingEStep(judge).statistics(block, shares)


def nearest(rows: Array, means: Array) -> Labels:
    """Every row goes to the nearest of the (K, D) means, by what was observed of it."""
    labels = np.empty(len(rows), dtype=np.intp)
    for block in ArraySource(rows).blocks(BLOCK_ROWS):
        distances = [np.nansum((block.rows - mean[:, None]) ** 2, axis=0) for mean in means]
        labels[block.place] = np.argmin(distances, axis=0)
    return Labels(labels, len(means))
