"""`EM`: the E-step over the rows of a source, and the M-step that follows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np

from emgmm.covariances import Family
from emgmm.degeneracy import coincident, collapsed, starved
from emgmm.estep import EStep, EStepForPass
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import Source, Sum
from emgmm.sources.block import Block, SumsOfBits
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary, LabelSummary
from emgmm.threads import cached_property
from emgmm.tolerances import checked_afterwards
from emgmm.typing import Array, Integers


class EM:
    """EM's map, from a mixture to its statistics and from these to the next mixture.

    Parameters
    ----------
    source : Source
        Rows and weights. The constructor makes the first pass over them, which computes `summary`.
    m_step : MStep
        M-step, with the ridge, the priors and the noise of the fit.
    n_components : int
        Number of components.
    sums_of_bits : callable, optional
        Function that returns sums of the bits of a block, which the summary then includes.

    Attributes
    ----------
    summary : DataSummary
        Moments and ranges of the rows.
    passes : int
        Number of passes over the rows so far.
    e_step_for_pass : EStepForPass
        Function that returns the E-step for a pass under a mixture.
    cache : dict
        Values that other modules keep for their next call.
    """

    def __init__(
        self,
        source: Source,
        m_step: MStep,
        n_components: int,
        sums_of_bits: SumsOfBits | None = None,
    ) -> None:
        self.source = source
        self.m_step = m_step
        self.n_components = n_components
        self.passes = 0
        summary_of = methodcaller("summary", m_step.family, sums_of_bits=sums_of_bits)
        self.summary: DataSummary = self.summarize(summary_of)
        self.e_step_for_pass = EStepForPass(self.summary, source)
        self.cache: dict[Any, Any] = {}

    @property
    def family(self) -> Family:
        """Family of the covariances."""
        return self.m_step.family

    @checked_afterwards
    def summarize(self, function: Callable[[Block], Sum]) -> Sum:
        """Return the sum of summaries of blocks; this takes one pass."""
        return self.sum(function, self.source.summary_rows)

    @cached_property
    def labelled(self) -> LabelSummary:
        """Summary of the rows whose components are known, of a source with labels: one pass."""
        arguments = self.family, self.summary.mean, self.n_components
        return self.summarize(methodcaller("label_summary", *arguments))

    @property
    def labelled_components(self) -> Integers:
        """Numbers of the Gaussian components with rows that are known to belong to them."""
        if not self.source.has_labels:
            return np.empty(0, dtype=np.intp)
        return np.flatnonzero(self.labelled.counts)

    def sum(self, function: Callable[[Block], Sum], block_rows: int) -> Sum:
        """Return the sum of a function of blocks over all rows; this takes one pass."""
        self.passes += 1
        return self.source.sum(function, block_rows)

    def _statistics(self, e_step: EStep) -> Statistics:
        return e_step.complete(self.sum(e_step.sums, e_step.block_rows))

    @checked_afterwards
    def expect(self, mixture: Mixture) -> Statistics:
        """Return the statistics of the rows under a mixture; this takes one pass."""
        return self._statistics(self.e_step_for_pass(mixture))

    @checked_afterwards
    def expect_about(self, mixture: Mixture, centres: Array) -> Statistics:
        """Return the same statistics with moments about (K, D) centres."""
        return self._statistics(self.e_step_for_pass.about(mixture, centres))

    @checked_afterwards
    def collapsed(self, mixture: Mixture, statistics: Statistics) -> list[int]:
        """Return the components that are tiny compared with the data, or have too few rows.

        Components whose covariance is fixed are left out.
        """
        ridge, least = self.m_step.ridge, self.m_step.min_count(mixture.n_features)
        found = collapsed(mixture, statistics, ridge, self.summary.n_rows, least)
        return self.m_step.constraints.with_free_covariance(found)

    def starved(self, mixture: Mixture, statistics: Statistics) -> list[int]:
        """Return the components with less than one row, unless their density is fixed."""
        found = starved(mixture, statistics, self.summary.n_rows)
        return self.m_step.constraints.with_free_density(found)

    def coincident(self, mixture: Mixture) -> list[tuple[int, ...]]:
        """Return the groups of coincident components whose densities are not all fixed."""
        groups = coincident(mixture)
        return [group for group in groups if self.m_step.constraints.with_free_density(group)]

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        """Return the mean log-likelihood, plus the log-density of the priors per unit weight."""
        return statistics.objective + self.m_step.log_prior(mixture) / statistics.weight

    def maximise(self, mixture: Mixture, statistics: Statistics) -> Mixture:
        """Return the M-step of the statistics of `mixture`; it may take another pass or two."""
        statistics_about = partial(self.expect_about, mixture)
        return self.m_step.maximise_recentred(statistics, statistics_about, mixture)
