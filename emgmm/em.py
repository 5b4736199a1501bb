"""EM's map for one data set: a mixture to its statistics, statistics to the next mixture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emgmm.block import Block
from emgmm.expectation import Exact, Form, form_for_pass
from emgmm.families import Family
from emgmm.maximization import settle
from emgmm.mixture import Mixture
from emgmm.sources import Source, Sum
from emgmm.statistics import Statistics, Summary
from emgmm.typing import Array

# Entries of a block of the first pass: half a megabyte, which a core's own cache holds.
SUMMARY_ENTRIES = 2**16


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
    passes : int
        Passes over the rows so far.
    """

    def __init__(self, source: Source, family: Family, n_components: int, ridge: float) -> None:
        self.source = source
        self.family = family
        self.n_components = n_components
        self.ridge = ridge
        self.passes = 0
        size = max(256, SUMMARY_ENTRIES // source.n_features)
        self.summary = self.sum(lambda block: Summary.of(block.rows, family), size)

    def sum(self, function: Callable[[Block], Sum], block_rows: int) -> Sum:
        """Sum of a function of blocks over all rows: one pass."""
        self.passes += 1
        return self.source.sum(function, block_rows)

    def _statistics(self, form: Form) -> Statistics:
        return form.complete(self.sum(form.sums, form.block_rows))

    @property
    def total_covariance(self) -> Array:
        """Covariance of all rows, an element of the family's shape."""
        shape, summary = self.family.shape, self.summary
        weight = np.array([summary.weight])
        return shape.estimate(summary.scatter[None], weight, self.source.n_features)[0]

    def expect(self, mixture: Mixture) -> Statistics:
        """The E-step over all rows: one pass."""
        return self._statistics(form_for_pass(mixture, self.summary, self.source.block_dtype))

    def maximise(self, mixture: Mixture, statistics: Statistics) -> Mixture:
        """The M-step from the statistics of `mixture`; on hostile data it spends one more pass."""

        def again(centres: Array) -> Statistics:
            return self._statistics(Exact(mixture, centres))

        return settle(statistics, again, self.family, self.ridge, self.source.dtype)
