"""EM's map for one data set: a mixture to its statistics, statistics to the next mixture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from emgmm.covariances import FAMILIES, Family
from emgmm.estep import EStep, EStepForPass
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.noise import Box, Density, Function
from emgmm.prior import NormalInverseWishart, is_collinear
from emgmm.sources import Source, Sum
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.summary import CONSTANT, DataSummary
from emgmm.tolerances import EPS, judged_afterwards
from emgmm.typing import Array

# Entries of a block of the first pass: half a megabyte, which a core's own cache holds.
SUMMARY_ENTRIES = 2**16


# Variance of a linear combination of standardized features below which it is computed anew, from
# the rows: to compute it from the covariance takes the difference of much larger numbers.
SUSPICIOUS = 1e-11

# Standard deviation of such a combination that is taken for 0, whatever the rounding of the values.
DEPENDENT = 1e-12

# Units of rounding that a combination's standard deviation may owe to its values, which are rounded
# independently of each other, and to the arithmetic.
ROUNDING = 2

# Share in a combination from which a feature belongs to it.
SHARE = 1e-6


def summary(block: Block, family: Family) -> DataSummary:
    """What the first pass sees of a block."""
    return DataSummary.of(block.rows, family, block.weights, complete=block.complete)


def along(block: Block, axes: Array, family: Family) -> DataSummary:
    """The same of a block's coordinates along axes, the columns of a (D, D) matrix.

    Rows that miss some features do not count.
    """
    rows, weights = block.rows, block.weights
    if not block.complete:
        seen = np.logical_not(np.isnan(rows).any(axis=0))
        rows = np.where(seen, rows, 0.0)
        weights = seen * (1.0 if weights is None else weights)
    return DataSummary.of(axes.T @ rows, family, weights)


class EM:
    """The rows, the family, ridge, priors and noise: what stays the same through a fit.

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
    noise : Density, "uniform", float or callable, optional
        Of the noise component: how it is distributed, or uniformly over the volume of the data, or
        its constant density, or its log-density.

    Attributes
    ----------
    summary : DataSummary
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
        noise: Density | str | float | Callable[[Array], Any] | None = None,
    ) -> None:
        self.source = source
        self.family = family
        self.n_components = n_components
        self.ridge = ridge if prior is None else 0.0
        self.passes = 0
        self.summary = self._look(partial(summary, family=family))
        if prior is not None:
            self.summary.check_squares()
        self._form_for_pass = EStepForPass(self.summary, source.dtype, source.block_dtype)
        known = None if prior is None else prior.resolved(self.summary, family, n_components)
        density = self._density(noise)
        self.m_step = MStep(family, self.ridge, source.dtype, known, concentration, density)

    @judged_afterwards()
    def _look(self, function: Callable[[Block], DataSummary]) -> DataSummary:
        """A first pass."""
        return self.sum(function, max(256, SUMMARY_ENTRIES // self.source.n_features))

    def _density(self, noise: Any) -> Density | None:
        if noise is None or isinstance(noise, Density):
            return noise
        if callable(noise):
            return Function(noise)
        self.summary.check_squares()
        box = Box.between(self.summary.minimum, self.summary.maximum)
        if not isinstance(noise, str):
            return box.of_density(float(noise))
        return self._smallest(box) if self.summary.complete else box

    def _smallest(self, box: Box) -> Box:
        """A box around all rows, or the one along their principal axes where that is smaller."""
        full = FAMILIES["full"]
        seen = self.summary
        if self.family.structure != full.structure:
            seen = self._look(partial(summary, family=full))
        if is_collinear(seen.scatter):
            return box
        axes = np.linalg.eigh(seen.scatter)[1]
        turned = self._look(partial(along, axes=axes, family=FAMILIES["diag"]))
        turned_box = box.turned(axes, turned.minimum, turned.maximum)
        return min(box, turned_box, key=lambda each: -each.constant)

    def singular_features(self) -> tuple[int, ...]:
        """Features because of which every covariance of the family would be singular.

        These are features that are constant or linearly dependent in all rows that count, but for
        the rounding of their values, where the ridge is no more than that either. Where rows miss
        some features and not others, dependence cannot be judged from their moments.
        """
        seen, shape, D = self.summary, self.family.structure, len(self.summary.mean)
        varies = seen.varies | (self.ridge**0.5 > CONSTANT * seen.largest)
        varying = shape.variances(shape.outer(varies[None].astype(float)), D)[0]
        if not varying.all():
            return tuple(np.flatnonzero(varying == 0).tolist())
        scatter = shape.dense(seen.scatter[None], D)[0]
        covariance = scatter / seen.seen + self.ridge * np.eye(D)
        sds = np.sqrt(np.diag(covariance))
        variances, vectors = np.linalg.eigh(covariance / np.outer(sds, sds))
        axes = vectors / sds[:, None]
        parts = np.abs(axes) * seen.largest[:, None]
        lost = np.maximum(ROUNDING * EPS * parts.sum(axis=0), DEPENDENT)
        unit = np.finfo(self.source.dtype).eps
        rounding = np.maximum(lost, ROUNDING * unit * np.sqrt((parts**2).sum(axis=0)))
        if (variances > np.maximum(SUSPICIOUS, rounding**2)).all():
            return ()
        found = self._look(partial(along, axes=axes, family=FAMILIES["full"]))
        flat = found.residual_variances() <= rounding**2
        flat &= self.ridge * (axes**2).sum(axis=0) <= lost**2
        return tuple(np.flatnonzero((np.abs(vectors[:, flat]) > SHARE).any(axis=1)).tolist())

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

    def _statistics(self, form: EStep) -> Statistics:
        return form.complete(self.sum(form.sums, form.block_rows))

    @judged_afterwards()
    def expect(self, mixture: Mixture) -> Statistics:
        """The E-step over all rows: one pass."""
        return self._statistics(self._form_for_pass(mixture))

    @judged_afterwards()
    def expect_about(self, mixture: Mixture, centres: Array) -> Statistics:
        """The E-step with moments about (K, D) centres: one pass."""
        return self._statistics(self._form_for_pass.about(mixture, centres))

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        """What EM climbs: mean log-likelihood, and the log-density of priors, per unit weight."""
        return statistics.objective + self.m_step.log_prior(mixture) / statistics.weight

    def maximise(self, mixture: Mixture, statistics: Statistics) -> Mixture:
        """The M-step from the statistics of `mixture`; on hostile data it spends a pass or two."""
        again = partial(self.expect_about, mixture)
        return self.m_step.maximise_recentred(statistics, again, mixture)
