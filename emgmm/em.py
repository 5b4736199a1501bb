"""EM's map for one data set: a mixture to its statistics, statistics to the next mixture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from emgmm.block import Block
from emgmm.expectation import Form, exact_form, form_for_pass
from emgmm.families import Family
from emgmm.maximization import MStep
from emgmm.mixture import Mixture
from emgmm.sources import Source, Sum
from emgmm.statistics import Statistics, Summary
from emgmm.typing import Array

# Entries of a block of the first pass: a core's own cache holds it.
SUMMARY_ENTRIES = 2**15


def summary(block: Block, family: Family) -> Summary:
    """What the first pass sees of a block."""
    return Summary.of(block.rows, family, block.weights, complete=block.complete)


class EM:
    """The rows, the family and the ridge: what stays the same through a fit.

    Parameters
    ----------
    source : Source
        The rows. One pass over them is spent at once, on `summary`.
    family : Family
        Of the covariances.
    n_components : int
        K.
    ridge : float
        Added to the diagonal of every covariance after each M-step.

    Attributes
    ----------
    summary : Summary
        What the first pass saw.
    m_step : MStep
        What makes a mixture of statistics.
    passes : int
        Passes over the rows so far.
    """

    def __init__(self, source: Source, family: Family, n_components: int, ridge: float) -> None:
        self.source = source
        self.family = family
        self.n_components = n_components
        self.ridge = ridge
        self.m_step = MStep(family, ridge, source.dtype)
        self.passes = 0
        size = max(256, SUMMARY_ENTRIES // source.n_features)
        self.summary = self.sum(partial(summary, family=family), size)

    def sum(self, function: Callable[[Block], Sum], block_rows: int) -> Sum:
        """Sum of a function of blocks over all rows: one pass."""
        self.passes += 1
        return self.source.sum(function, block_rows)

    def _statistics(self, form: Form) -> Statistics:
        return form.complete(self.sum(form.sums, form.block_rows))

    def expect(self, mixture: Mixture) -> Statistics:
        """The E-step over all rows: one pass."""
        return self._statistics(form_for_pass(mixture, self.summary, self.source.dtype))

    def maximise(self, mixture: Mixture, statistics: Statistics) -> Mixture:
        """The M-step from the statistics of `mixture`; on hostile data it spends one more pass."""

        def again(centres: Array) -> Statistics:
            return self._statistics(exact_form(mixture, self.summary, centres))

        return self.m_step.settle(statistics, again, mixture)
