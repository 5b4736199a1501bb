"""The M-step from statistics to the natural parameters of the E-step, without a mixture."""

from __future__ import annotations

import math
from typing import Self

import numpy as np

from emgmm.constraints import FREE
from emgmm.covariances import times_counts
from emgmm.covariances.natural import from_covariances, from_moments, to_monomials
from emgmm.estep import DeviceEStep, ExpandedEStep
from emgmm.estep.expanded import ExpandedSums
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import LOG_2_PI
from emgmm.mstep import ROUNDING_REACH, MStep
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.threads import cached_property
from emgmm.tolerances import EPS, MAX_ERROR
from emgmm.typing import Array

# Smallest and largest distance of a row from the mean of all rows with which no factor of a
# precision and no square leaves the range of float64.
SMALLEST, LARGEST = 1e-100, 1e100

# Largest number of natural parameters. With more, arithmetic takes the time, and not calls.
MOST = 2**14

# Smallest count of a component, as a fraction of the total weight of the rows. To such a count, the
# M-step adds nothing.
LEAST = 1e-10


class NaturalSteps:
    """M-steps of one fit, each of which returns the E-step of the next mixture.

    The ordinary M-step makes a mixture and examines it, and an E-step is then chosen for it. In
    most steps a single bound shows that there is nothing to examine, and that the choice is the
    same again. The next natural parameters then suffice. For a small table, such a step takes half
    the time.

    Parameters
    ----------
    m_step : MStep
        M-step of a family with a closed form, without priors, noise and constraints.
    summary : DataSummary
        Summary of the rows.
    e_step : ExpandedEStep
        E-step of any mixture of the same size, about the mean of the rows.
    """

    def __init__(self, m_step: MStep, summary: DataSummary, e_step: ExpandedEStep) -> None:
        self.family, self.summary, self.e_step = m_step.family, summary, e_step
        self.distances = distances = summary.max_distances(summary.mean)
        # No standard deviation exceeds the largest distance from the mean, except by the ridge.
        self.reach = 2 * distances + math.sqrt(m_step.ridge)
        self.reach += ROUNDING_REACH * np.abs(summary.mean)
        self.n_features, self.ridge = len(distances), m_step.ridge
        self.constant = -0.5 * self.n_features * LOG_2_PI

    @classmethod
    def of(cls, m_step: MStep, summary: DataSummary, e_step: ExpandedEStep | None) -> Self | None:
        """Return the steps of a fit, or None if it needs the ordinary ones."""
        if e_step is None or isinstance(e_step, DeviceEStep):  # whose sums are on the device
            return None
        is_served = (
            m_step.family.stacked(len(e_step.means)) is not None
            and m_step.dtype == np.float64
            and m_step.prior is None
            and m_step.concentration == 1
            and m_step.density is None
            and m_step.constraints is FREE
            and math.prod(e_step.mixture.size) <= MOST
        )
        if not is_served:
            return None
        steps = cls(m_step, summary, e_step)
        in_range = steps.distances.min() > SMALLEST and steps.distances.max() < LARGEST
        return steps if in_range else None

    @cached_property
    def scatter(self) -> Array:
        """Scatter of all rows about the centre, from which a shared covariance is computed."""
        return self.summary.scatter_about(self.e_step.centre)

    def products(self, statistics: Statistics) -> Array | None:
        """Return the sums of responsibilities times phi, (K, P); None with other centres."""
        if not (statistics.centres == self.e_step.centre).all():
            return None
        parts = [statistics.counts[:, None], statistics.first_moment]
        if not self.family.shared:
            parts.append(to_monomials(self.family.structure, statistics.scatter))
        return np.concatenate(parts, axis=1)

    def after(self, products: Array, weight: float) -> ExpandedEStep | None:
        """Return the E-step of the next mixture, or None if that mixture has to be examined."""
        counts = products[:, 0]
        if not np.minimum.reduce(counts) > LEAST * weight:
            return None
        structure, D = self.family.structure, self.n_features
        moments = products / counts[:, None]
        means = moments[:, 1 : 1 + D]
        try:
            if not self.family.shared:
                parameters, factors = from_moments(structure, moments, D, self.ridge)
            else:
                covariances = self._shared_covariance(means, counts)
                parameters, _, factors = from_covariances(structure, means, covariances)
        except DegenerateCovarianceError:
            return None
        # The bound implies those of the M-step and of the E-step: `is_surely_accurate`, and
        # `is_accurate_within` the distances of the rows.
        reach = self.reach + np.abs(means)
        if not structure.magnitude_bound(factors, reach) <= MAX_ERROR / EPS:
            return None
        constants = np.log(counts / weight)
        constants += self.constant
        parameters[:, 0] += constants
        e_step = object.__new__(type(self.e_step))
        e_step.__dict__.update(self.e_step.__dict__)
        e_step.natural_parameters, e_step.precisions_cholesky = parameters, factors
        return e_step

    def log_likelihood(self, e_step: ExpandedEStep, sums: ExpandedSums) -> float:
        """Return the log-likelihood, given the sums of a whole pass."""
        return (e_step.complete(sums) if self.family.shared else sums).log_likelihood

    def _shared_covariance(self, means: Array, counts: Array) -> Array:
        """Return the covariance that all components share, as a stack of one element."""
        structure = self.family.structure
        between = self.family.pool(times_counts(counts, structure.outer(means)))
        total = counts.sum(keepdims=True)
        one = structure.estimate((self.scatter - between)[None], total, self.n_features)
        return structure.add_ridge(one, self.ridge)
