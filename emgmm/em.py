"""EM's map for one data set: a mixture to its statistics, statistics to the next mixture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from emgmm.block import Block
from emgmm.expectation import Form, exact_form, form_for_pass
from emgmm.families import Family
from emgmm.maximization import MStep
from emgmm.mixture import Mixture
from emgmm.prior import NormalInverseWishart
from emgmm.sources import Source, Sum
from emgmm.statistics import Statistics, Summary
from emgmm.typing import Array

# Entries of a block of the first pass: half a megabyte, which a core's own cache holds.
SUMMARY_ENTRIES = 2**16


def summary(block: Block, family: Family) -> Summary:
    """What the first pass sees of a block."""
    return Summary.of(block.rows, family, block.weights, complete=block.complete)


class EM:
    """The rows, the family, ridge and priors: what stays the same through a fit.

    Parameters
    ----------
    source : Source
        The rows. One pass over them is spent at once, on `summary`.
    family : Family
        Of the covariances.
    n_components : int
        K.
    ridge : float
        Added to the diagonal of every covariance after each M-step, where there is no prior.
    prior : NormalInverseWishart, optional
        Of means and covariances.
    concentration : float
        Of the weights' Dirichlet prior; 1 is none.

    Attributes
    ----------
    summary : Summary
        What the first pass saw.
    m_step : MStep
        What makes a mixture of statistics.
    passes : int
        Passes over the rows so far.
    """

    def __init__(
        self,
        source: Source,
        family: Family,
        n_components: int,
        ridge: float,
        prior: NormalInverseWishart | None = None,
        concentration: float = 1.0,
    ) -> None:
        self.source = source
        self.family = family
        self.n_components = n_components
        self.ridge = ridge if prior is None else 0.0
        self.passes = 0
        size = max(256, SUMMARY_ENTRIES // source.n_features)
        self.summary = self.sum(partial(summary, family=family), size)
        known = None if prior is None else prior.resolved(self.summary, family, n_components)
        self.m_step = MStep(family, self.ridge, source.dtype, known, concentration)

    @classmethod
    def under(cls, m_step: MStep, source: Source, n_components: int) -> EM:
        """EM's map over the rows of a source under an M-step that there is: one pass, as ever."""
        em = cls(source, m_step.family, n_components, m_step.ridge)
        em.m_step = m_step
        return em

    def sum(self, function: Callable[[Block], Sum], block_rows: int) -> Sum:
        """Sum of a function of blocks over all rows: one pass."""
        self.passes += 1
        return self.source.sum(function, block_rows)

    def _statistics(self, form: Form) -> Statistics:
        return form.complete(self.sum(form.sums, form.block_rows))

    def expect(self, mixture: Mixture) -> Statistics:
        """The E-step over all rows: one pass."""
        return self._statistics(form_for_pass(mixture, self.summary, self.source.block_dtype))

    def expect_about(self, mixture: Mixture, centres: Array) -> Statistics:
        """The E-step with moments about (K, D) centres: one pass."""
        return self._statistics(exact_form(mixture, self.summary, centres))

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        """What EM climbs: mean log-likelihood, and the log-density of priors, per unit weight."""
        return statistics.objective + self.m_step.log_prior(mixture) / statistics.weight

    def maximise(self, mixture: Mixture, statistics: Statistics) -> Mixture:
        """The M-step from the statistics of `mixture`; on hostile data it spends one more pass."""
        again = partial(self.expect_about, mixture)
        return self.m_step.settle(statistics, again, mixture)
