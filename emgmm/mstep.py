"""The M-step, which computes a mixture from statistics without access to the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from emgmm.constraints import FREE, Constraints
from emgmm.covariances import Family, Structure, times_counts
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture
from emgmm.noise import Density, Noise
from emgmm.prior import Prior
from emgmm.statistics import Statistics
from emgmm.tolerances import EPS, MAX_ERROR, checked_afterwards
from emgmm.typing import Array

# Fraction of the observed weight that is added to every count, so that an empty component has a
# mean, the origin. scikit-learn adds 10 units of rounding. A fraction makes the result independent
# of the scale of the weights, and such a small one of the rounding errors of an almost empty
# component.
EMPTY = 1e-30

# Standard deviations below this multiple of the mean are attributed to rounding.
ROUNDING = 8 * EPS

# Multiple of the mean that raises the bound of `is_accurate` to `MAX_ERROR` for such deviations.
ROUNDING_REACH = ROUNDING * (MAX_ERROR / EPS) ** 0.5

# Relative rounding error of a covariance of nearly collinear features above which it is singular.
SINGULAR = 0.03


@cache
def identity_of(structure: Structure, n_features: int) -> Array:
    """Return the identity matrix as an element of a structure."""
    return structure.diagonal(structure.outer(np.ones((1, n_features)))[0])


def empty_count(statistics: Statistics) -> float:
    """Return the number that is added to the count of every component."""
    return EMPTY * statistics.seen


def new_means(statistics: Statistics) -> Array:
    """Return the means of the M-step, (K, D), which are 0 for an empty component."""
    counts = statistics.counts + empty_count(statistics)
    return _means_at(statistics, counts, statistics.first_moment / counts[:, None])


def _means_at(statistics: Statistics, counts: Array, offsets: Array) -> Array:
    """Return means with offsets from the centres, scaled so that an empty component is at 0."""
    return statistics.centres * (statistics.counts / counts)[:, None] + offsets


@checked_afterwards
def relative_error(mixture: Mixture, statistics: Statistics) -> float:
    """Return a bound of the relative error of covariances due to the distance from the centres."""
    return EPS * mixture.magnitude(np.abs(mixture.means - statistics.centres))


def is_accurate(mixture: Mixture, centres: Array, times: Array | float = 1.0) -> bool:
    """Whether covariances from moments about (K, D) centres have errors below `MAX_ERROR`.

    This includes that they are not due to rounding. `times` is the ratio of the covariances to
    those of the moments of the components themselves.
    """
    return bool(EPS * np.max(magnitudes_about(mixture, centres) * times) <= MAX_ERROR)


def magnitudes_about(mixture: Mixture, centres: Array) -> Array:
    """Return the magnitudes that bound the errors of covariances from moments about centres."""
    reach = np.abs(mixture.means - centres)
    reach += ROUNDING_REACH * np.abs(mixture.means)
    return mixture.magnitudes(reach)


def is_surely_accurate(mixture: Mixture, centres: Array, times: Array | float = 1.0) -> bool:
    """Whether one bound shows that covariances are accurate and definite, as in most M-steps.

    Magnitudes increase with the reach. Therefore this implies `is_accurate`, and the bounds of
    `check_definite` and of rounding in `MStep.maximise`, which are wider.
    """
    reach = np.abs(mixture.means - centres)
    reach += np.sqrt(mixture.variances)
    reach += ROUNDING_REACH * np.abs(mixture.means)
    largest = times if isinstance(times, float) else float(times.max())
    return mixture.is_within(reach, MAX_ERROR / EPS / max(1.0, largest))


def one_centre(mixture: Mixture) -> Array | None:
    """Return a common centre with which covariances are accurate, repeated (K, D), or None."""
    if EPS * mixture.magnitude_near(1.0) > MAX_ERROR:  # inaccurate even about the own means
        return None
    centres = np.broadcast_to(mixture.precision_weighted_mean, mixture.means.shape)
    return centres if is_accurate(mixture, centres) else None


@dataclass(frozen=True, eq=False)
class MStep:
    """M-step of a fit.

    Parameters
    ----------
    family : Family
        Family of the covariances.
    ridge : float
        Number that is added to the diagonal of every covariance.
    dtype : numpy.dtype
        Type of the mixture.
    prior : Prior, optional
        Prior of the means and covariances; the estimates are then the posterior mode.
    concentration : float
        Concentration of the Dirichlet prior of the weights, which adds `concentration` - 1 to every
        count.
    density : Density, optional
        Density of the noise component.
    constraints : Constraints
        Fixed parameters, and whether the weights are equal.
    """

    family: Family
    ridge: float
    dtype: np.dtype[Any]
    prior: Prior | None = None
    concentration: float = 1.0
    density: Density | None = None
    constraints: Constraints = FREE

    @checked_afterwards
    def of_single_rows(
        self, rows: Array, weights: Array, mean: Array, total: float, n_rows: int
    ) -> Mixture:
        """Return the mixture of components that consist of one row each.

        Parameters
        ----------
        rows : (K, D)
            Rows of the components.
        weights : (K,)
            Weights of these rows.
        mean : (D,)
            Mean of all rows.
        total : float
            Total weight of all rows.
        n_rows : int
            Number of all rows that are informative.
        """
        family, dtype = self.family, rows.dtype
        if self.prior is not None:
            zeros = np.zeros(rows.shape)
            scatter = family.pool(family.structure.outer(zeros))
            statistics = Statistics(rows.astype(float), weights, zeros, scatter, 0.0, total)
            return replace(self.maximise(statistics), means=rows)
        added = dtype.type(10 * np.finfo(dtype).eps)  # to the count of a row, as in scikit-learn
        means, ones = rows / (1 + added), np.full(len(rows), 1 + added, dtype)
        covariances = family.single_row_covariances(rows, ones, mean)
        # The weights are relative to all rows, as in scikit-learn: 1/n each, not 1/K.
        new_weights = ((weights * (n_rows / total) + added) / n_rows).astype(dtype)
        covariances = family.add_ridge(covariances, self.ridge)
        return Mixture.of(new_weights, means, covariances, family, self.noise(0.0))

    def noise(self, weight: float) -> Noise | None:
        """Return the noise component, if any; rounding may have raised its weight above 1."""
        return None if self.density is None else Noise(min(weight, 1.0), self.density)

    @checked_afterwards
    def maximise(self, statistics: Statistics, before: Mixture | None = None) -> Mixture:
        """Return the mixture that maximizes the expected log-likelihood, plus the ridge.

        The statistics may have moments about any centres. Families without a closed form start from
        the covariances of `before`, the mixture to which the statistics belong.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not positive definite. The error names the components.

        References
        ----------
        Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1,
        doi 10.1111/j.2517-6161.1977.tb01600.x.
        """
        mixture = self._maximum(statistics, before)
        if is_surely_accurate(mixture, statistics.centres):
            return mixture
        self.check_definite(mixture)
        # Covariances below this bound may be rounding errors of rows as large as the means.
        magnitudes = mixture.magnitudes(ROUNDING * np.abs(mixture.means, dtype=np.float64))
        self.family.require_definite(self.constraints.or_fixed(magnitudes <= 1))
        return mixture

    def _maximum(self, statistics: Statistics, before: Mixture | None) -> Mixture:
        family, constraints, more = self.family, self.constraints, self.concentration - 1
        posterior, counts = statistics, statistics.counts + empty_count(statistics)
        freedom = counts
        # Rows beyond the reach of all components have no responsibilities.
        total = statistics.seen + len(freedom) * more
        weights, noise_weight = constraints.constrained_weights(
            (freedom + more) / total, statistics.noise / total
        )
        if self.prior is not None:
            posterior, freedom = self.prior.added_to(statistics), freedom + self.prior.freedom
            counts = posterior.counts + empty_count(statistics)
        offsets = posterior.first_moment / counts[:, None]
        means = _means_at(posterior, counts, offsets)
        between = family.pool(times_counts(counts, family.structure.outer(offsets)))
        scatter = family.structure.symmetric(posterior.scatter - between)
        if constraints.means is not None:
            means = constraints.constrained_means(means)
            shifts = constraints.shifts(posterior.centres, offsets)
            shifted = times_counts(posterior.counts, family.structure.outer(shifts))
            scatter = scatter + family.pool(shifted)  # the scatter about the fixed means
        if self.ridge:
            # If each component has its own covariance, or all share one, this adds the ridge to the
            # diagonal. Covariances that constrain one another are estimated with it, and keep their
            # form.
            identity = identity_of(family.structure, means.shape[1])
            scatter = scatter + family.pool(np.multiply.outer(self.ridge * freedom, identity))
        if not np.logical_and.reduce(np.isfinite(scatter), axis=None):
            raise DegenerateCovarianceError(())
        earlier = None if before is None else before.covariance_stack
        covariances, factors = constraints.constrained_covariances(
            lambda: family.estimate(scatter, freedom, means.shape[1], earlier), family
        )
        means = means.astype(self.dtype, copy=False)
        noise = self.noise(noise_weight)
        return Mixture.of(weights, means, covariances, family, noise, factors)

    def check_definite(self, mixture: Mixture) -> None:
        """Raise an error for covariances that are singular up to rounding, unless a prior adds up.

        The measure depends only on the correlations, and not on the units or the order of the
        features. It is at least the sum of the variance inflation factors 1 / (1 - R_j^2), where
        R_j is the multiple correlation of feature j with the others.
        """
        if self.prior is None:
            inflation = mixture.magnitudes(np.sqrt(mixture.variances))
            is_definite = EPS * inflation <= SINGULAR
            self.family.require_definite(self.constraints.or_fixed(is_definite))

    @checked_afterwards
    def maximise_recentred(
        self,
        statistics: Statistics,
        statistics_about: Callable[[Array], Statistics],
        before: Mixture | None = None,
    ) -> Mixture:
        """Return the M-step, from moments recomputed about other centres if necessary.

        This is necessary if the new means are so many new standard deviations away from the centres
        that the error of the covariances may exceed `MAX_ERROR`, for example if the first steps
        find a narrow component. A common centre is tried first, because it makes a cheaper pass
        than the new mean of each component.

        Parameters
        ----------
        statistics : Statistics
            Statistics of the rows under `before`.
        statistics_about : callable
            Function that returns the same statistics with moments about given (K, D) centres.
        before : Mixture, optional
            Mixture to which the statistics belong.
        """
        mixture, accurate = self._maximum_if_any(statistics, before)
        centres = None if accurate or mixture is None else one_centre(mixture)
        if centres is not None:
            mixture, accurate = self._maximum_if_any(statistics_about(centres), before)
        if mixture is not None and accurate:
            return mixture
        posterior = statistics if self.prior is None else self.prior.added_to(statistics)
        return self.maximise(statistics_about(new_means(posterior)), before)

    def _maximum_if_any(
        self, statistics: Statistics, before: Mixture | None
    ) -> tuple[Mixture | None, bool]:
        """Return the maximum, or None if there is none, and whether it is accurate."""
        times: Array | float = 1.0
        try:
            mixture = self._maximum(statistics, before)
            if self.prior is None:
                own = statistics.scatter, statistics.counts, statistics.first_moment
                times = self.family.enlargement(mixture.covariance_stack, *own)
            if self.constraints.covariances is not None:  # no moments are needed for those
                times = np.where(self.constraints.covariances, 0.0, times)
            if is_surely_accurate(mixture, statistics.centres, times):
                return mixture, True
            self.check_definite(mixture)
        except DegenerateCovarianceError:
            return None, False
        return mixture, is_accurate(mixture, statistics.centres, times)

    def min_count(self, n_features: int) -> int:
        """Return the number of rows that a component needs for its covariance; 0 with a prior."""
        return self.family.min_count(n_features) if self.prior is None else 0

    def log_prior(self, mixture: Mixture) -> float:
        """Return the log-density of all priors at a mixture, up to a constant."""
        log_density = 0.0 if self.prior is None else self.prior.log_density(mixture)
        if self.concentration == 1:
            return log_density
        return log_density + (self.concentration - 1) * float(mixture.log_weights.sum())
