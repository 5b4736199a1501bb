"""EM's map from statistics to natural parameters, without a mixture in between."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np

from emgmm.covariances import times_counts
from emgmm.covariances.natural import STRUCTURES, from_factors, from_moments, to_monomials
from emgmm.em import EM
from emgmm.estep import DeviceEStep, ExpandedEStep
from emgmm.estep.expanded import ExpandedSums
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import LOG_2_PI, Mixture
from emgmm.mstep import ROUNDING_REACH, identity_of
from emgmm.statistics import Statistics
from emgmm.threads import cached_property
from emgmm.tolerances import EPS, MAX_ERROR
from emgmm.typing import Array

# Largest distance of a row from the mean of all rows with which no factor of a precision and no
# square leaves the range of a type; its inverse is the smallest distance.
LARGEST = {np.dtype(np.float64): 1e100, np.dtype(np.float32): 1e12}

# Largest number of natural parameters. With more, arithmetic takes the time, and not calls.
MOST = 2**14

# Smallest count of a component, as a fraction of the total weight of the rows. To such a count, the
# M-step adds nothing.
LEAST = 1e-10


class NaturalMixture(NamedTuple):
    """Result of an M-step in natural parameters.

    Parameters
    ----------
    e_step : ExpandedEStep
        E-step under the mixture, with its natural parameters.
    products : (K, P)
        Sums of responsibilities times phi from which the M-step computed it.
    covariances : stack of elements, or None
        Covariances; None if the M-step of the family does not start from the previous ones.
    """

    e_step: ExpandedEStep
    products: Array
    covariances: Array | None


class NaturalSteps:
    """M-steps of one fit, each of which returns the E-step of the next mixture.

    The ordinary M-step makes a mixture and examines it, and an E-step is then chosen for it. In
    most steps a single bound shows that there is nothing to examine, and that the choice is the
    same again. The next natural parameters then suffice. For a small table, such a step takes half
    the time or less.

    Parameters
    ----------
    em : EM
        EM's map, without priors, noise and constraints.
    e_step : ExpandedEStep
        E-step of any mixture of the same size, about the mean of the rows.
    """

    def __init__(self, em: EM, e_step: ExpandedEStep) -> None:
        self.family, self.summary, self.ridge = em.family, em.summary, em.m_step.ridge
        self.e_step, self.centre = e_step, e_step.centre
        self.weight, self.dtype = em.summary.weight, em.m_step.dtype
        self.is_double = self.dtype == np.float64
        self.distances = self.summary.max_distances(self.summary.mean)
        self.n_features = len(self.distances)
        # No mean of a component is farther from the mean of all rows than these.
        self.reach = 2 * self.distances + ROUNDING_REACH * np.abs(self.summary.mean)
        # Such covariances are moments: no standard deviation exceeds the largest distance from the
        # mean, except by the ridge.
        has_own_moments = self.family.stacked(len(e_step.means)) is self.family
        self.is_direct = has_own_moments and self.is_double
        # Such steps do not round their means. The last term keeps the rounding of those of the
        # mixture, as a multiple of the standard deviations, below MAX_ERROR.
        reach = self.reach + self.distances + math.sqrt(self.ridge)
        reach += math.sqrt(EPS / MAX_ERROR) * np.abs(self.summary.mean)
        self.squares_of_moments = reach**2
        self.constant = -0.5 * self.n_features * LOG_2_PI

    @classmethod
    def of(cls, em: EM, mixture: Mixture) -> Self | None:
        """Return the steps of a fit, or None if it needs the ordinary ones."""
        m_step = em.m_step
        is_served = (
            m_step.prior is None
            and m_step.concentration == 1
            and m_step.density is None
            and not m_step.constraints.masks
            and em.family.structure in STRUCTURES
            and math.prod(mixture.size) <= MOST
        )
        e_step = em.e_step_for_pass.about_mean(mixture) if is_served else None
        if e_step is None or isinstance(e_step, DeviceEStep):  # whose sums are on the device
            return None
        steps = cls(em, e_step)
        largest, distances = LARGEST[steps.dtype], steps.distances
        return steps if 1 / largest < distances.min() and distances.max() < largest else None

    @cached_property
    def scatter(self) -> Array:
        """Scatter of all rows about the centre, from which a shared covariance is computed."""
        return self.family.structure.symmetric(self.summary.scatter_about(self.centre))

    def products(self, statistics: Statistics) -> Array | None:
        """Return the sums of responsibilities times phi, (K, P); None with other centres."""
        if not (statistics.centres == self.centre).all():
            return None
        parts = [statistics.counts[:, None], statistics.first_moment]
        if not self.family.shared:
            parts.append(to_monomials(self.family.structure, statistics.scatter))
        return np.concatenate(parts, axis=1)

    def after(self, products: Array, before: Array | None) -> NaturalMixture | None:
        """Return the next mixture, or None if it has to be examined.

        Parameters
        ----------
        products : (K, P)
            Sums of responsibilities times phi.
        before : stack of elements, or None
            Covariances to which the responsibilities belong.
        """
        counts = products[:, 0]
        if not np.minimum.reduce(counts) > LEAST * self.weight:
            return None
        family, structure, D = self.family, self.family.structure, self.n_features
        moments = products / counts[:, None]
        means, covariances, factors = moments[:, 1 : 1 + D], None, None
        limit = MAX_ERROR / EPS
        try:
            if self.is_direct:
                parameters, diagonals = from_moments(structure, moments, D, self.ridge)
                magnitudes = diagonals @ self.squares_of_moments
            else:
                scatter = self._scatter(products)
                found = self._covariances(scatter, counts, means, before)
                covariances = family.stack(found)
                distinct = covariances[:1] if family.shared else covariances
                factors = self._rounded(structure.precisions_cholesky(distinct))
                offsets = self._rounded(self.centre + means) - self.centre
                parameters, precisions = from_factors(structure, offsets, factors)
                if not family.shared:
                    quadratic = structure.coefficients(precisions)
                    parameters = np.concatenate([parameters, quadratic], axis=1)
                own = scatter, counts, products[:, 1 : 1 + D]
                limit /= max(1.0, float(np.max(family.enlargement(covariances, *own))))
                reach = self.reach + np.sqrt(structure.variances(distinct, D))
                squares = np.square(reach) * structure.variances(precisions, D)
                magnitudes = np.add.reduce(squares, axis=1)
        except DegenerateCovarianceError:
            return None
        # This is at least `Mixture.magnitude`, and implies the bounds of the M-step and of the
        # E-step: `is_surely_accurate`, and `is_accurate_within` the distances of the rows.
        if not D * np.maximum.reduce(magnitudes) <= limit:
            return None
        constants = np.log(self._rounded(counts / self.weight))
        constants += self.constant
        parameters[:, 0] += constants
        e_step = object.__new__(type(self.e_step))
        e_step.__dict__.update(self.e_step.__dict__)
        e_step.natural_parameters = parameters
        if factors is not None:  # of the term that all components share
            e_step.precisions_cholesky = factors
        return NaturalMixture(e_step, products, covariances)

    def mixture(self, natural: NaturalMixture) -> Mixture:
        """Return a mixture with its weights, means and covariances."""
        counts, covariances = natural.products[:, 0], natural.covariances
        means = natural.products[:, 1 : 1 + self.n_features] / counts[:, None]
        if covariances is None:
            scatter = self._scatter(natural.products)
            covariances = self._covariances(scatter, counts, means, None)
        else:
            covariances = self.family.unstack(covariances)
        means = (self.centre + means).astype(self.dtype, copy=False)
        return Mixture.of(counts / self.weight, means, covariances, self.family)

    def log_likelihood(self, e_step: ExpandedEStep, sums: ExpandedSums) -> float:
        """Return the log-likelihood, given the sums of a whole pass."""
        return (e_step.complete(sums) if self.family.shared else sums).log_likelihood

    def _rounded(self, array: Array) -> Array:
        """Return an array as a mixture of the type of the rows would hold it, in float64."""
        return array if self.is_double else array.astype(self.dtype).astype(np.float64)

    def _scatter(self, products: Array) -> Array:
        """Return the scatter about the centre, in pooled elements."""
        if self.family.shared:
            return self.scatter
        sums = products[:, 1 + self.n_features :]
        return self.family.structure.from_monomials(sums, self.n_features)

    def _covariances(
        self, scatter: Array, counts: Array, means: Array, before: Array | None
    ) -> Array:
        """Return the family's estimate, with the ridge, given means relative to the centre."""
        family, structure = self.family, self.family.structure
        scatter = scatter - family.pool(times_counts(counts, structure.outer(means)))
        if self.ridge:
            identity, added = identity_of(structure, self.n_features), self.ridge * counts
            scatter += (
                added.sum() * identity if family.shared else np.multiply.outer(added, identity)
            )
        earlier = None if before is None else self._rounded(before)
        return family.estimate(scatter, counts, self.n_features, earlier)
