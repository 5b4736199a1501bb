"""The M-step: statistics in, mixture out; no rows, and no difference between the E-step's forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from emgmm.covariances import Family, Structure, times_counts
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture
from emgmm.noise import Density, Noise
from emgmm.prior import Prior
from emgmm.statistics import Statistics
from emgmm.tolerances import EPS, MAX_ERROR, judged_afterwards
from emgmm.typing import Array

# Share of the total weight that is added to every count, so that an empty component has a mean, the
# origin, as in scikit-learn, which adds 10 units of rounding. A share keeps the result independent
# of the scale of the weights, and so small a one of what rounding does to a component that is all
# but empty.
EMPTY = 1e-30

# A standard deviation below so many of the mean's own units of rounding is no more than rounding.
ROUNDING = 8 * EPS

# What it comes to in the measure of lost digits, where the promise is the limit.
GRAIN = ROUNDING * (MAX_ERROR / EPS) ** 0.5


# What rounding may do to a covariance of features that are as good as collinear, relatively, before
# it is called singular.
SINGULAR = 0.03


@cache
def identity_of(structure: Structure, n_features: int) -> Array:
    """The identity matrix as an element of a structure, as scatters are."""
    return structure.weigh(np.eye(n_features), np.ones(n_features))


def empty(statistics: Statistics) -> float:
    """The counts that every component has, whatever the rows say."""
    return EMPTY * statistics.weight


def new_means(statistics: Statistics) -> Array:
    """(K, D): sum_i r_ik x_i / (counts + empty), whatever the centres; 0 for an empty component."""
    counts = statistics.counts + empty(statistics)
    return _moved(statistics, counts, statistics.first_moment / counts[:, None])


def _moved(statistics: Statistics, counts: Array, steps: Array) -> Array:
    """Means that lie `steps` from the centres; a component that is all but empty is at 0."""
    return statistics.centres * (statistics.counts / counts)[:, None] + steps


def _check_above_rounding(mixture: Mixture) -> None:
    """Raise for covariances that are but the rounding of rows as large as the means."""
    family = mixture.family
    noise = ROUNDING * np.abs(mixture.means, dtype=np.float64)
    magnitudes = family.structure.magnitude(mixture.precision_cholesky_stack, noise)
    family.raise_degenerate(np.logical_not(magnitudes <= 1))


def _check_definite(mixture: Mixture) -> None:
    """Raise for covariances that are singular but for rounding.

    What is judged are their correlations, so that neither units nor the order of features matter:
    the measure is at least the sum of the variance inflation factors 1 / (1 - R_j^2), R_j being the
    multiple correlation of feature j with the others.
    """
    family, D = mixture.family, mixture.n_features
    sds = np.sqrt(family.structure.variances(mixture.covariance_stack, D))
    inflation = family.structure.magnitude(mixture.precision_cholesky_stack, sds)
    family.raise_degenerate(np.logical_not(EPS * inflation <= SINGULAR))


@judged_afterwards()
def relative_error(mixture: Mixture, statistics: Statistics) -> float:
    """Bound of the covariances' relative error, for means that lie away from the centres."""
    return EPS * mixture.magnitude(np.abs(mixture.means - statistics.centres))


def is_accurate(mixture: Mixture, centres: Array, times: Array | float = 1.0) -> bool:
    """Whether covariances from moments about (K, D) centres have the digits we promise.

    And whether they are more than rounding, both in one. They are so many `times` those of the
    components' own moments.
    """
    reach = np.abs(mixture.means - centres)
    reach += GRAIN * np.abs(mixture.means)
    magnitudes = mixture.family.structure.magnitude(mixture.precision_cholesky_stack, reach)
    return bool(EPS * np.max(magnitudes * times) <= MAX_ERROR)


def one_centre(mixture: Mixture) -> Array | None:
    """(K, D): one point, about which moments would give settled covariances; None without one."""
    if EPS * mixture.magnitude_near(1.0) > MAX_ERROR:  # not even about its own mean
        return None
    one = np.broadcast_to(mixture.precision_weighted_mean, mixture.means.shape)
    return one if is_accurate(mixture, one) else None


@dataclass(frozen=True, eq=False)
class MStep:
    """The M-step of a fit: statistics in, the mixture that they are best described by out.

    Parameters
    ----------
    family : Family
        Of the covariances.
    ridge : float
        Added to the diagonal of every covariance.
    dtype : numpy.dtype
        Of the mixture's numbers.
    prior : Prior, optional
        Of means and covariances; the mixture is then the mode of what they are, given the rows.
    concentration : float
        Of the weights' Dirichlet prior: each component has so many rows more, less one.
    density : Density, optional
        Of noise.
    """

    family: Family
    ridge: float
    dtype: np.dtype[Any]
    prior: Prior | None = None
    concentration: float = 1.0
    density: Density | None = None

    @judged_afterwards()
    def of_single_rows(
        self, rows: Array, weights: Array, mean: Array, total: float, n_rows: int
    ) -> Mixture:
        """The mixture of components that hold one of the (K, D) rows each, with (K,) weights.

        `mean` and `total` are the mean and the total weight of all rows, of which `n_rows` count.
        """
        family, dtype = self.family, rows.dtype
        if self.prior is not None:
            nothing = np.zeros(rows.shape)
            scatter = family.pool(family.structure.outer(nothing))
            centres = rows.astype(np.float64)
            alone = Statistics(centres, weights, nothing, scatter, 0.0, total)
            return replace(self.maximise(alone), means=rows)
        own = (weights * (n_rows / total)).astype(dtype)  # in units of their mean
        counts = own + dtype.type(10 * np.finfo(dtype).eps)  # scikit-learn's
        covariances = family.single_row_covariances(rows, counts / own, mean)
        # Weights are shares of all rows, as in scikit-learn: 1/n each, not 1/K.
        shares, means = (counts / n_rows).astype(dtype), rows / (counts / own)[:, None]
        covariances = family.add_ridge(covariances, self.ridge)
        return Mixture.of(shares, means, covariances, family, self.noise(0.0))

    def noise(self, weight: float) -> Noise | None:
        """The noise component with that share, if there is to be one."""
        return None if self.density is None else Noise(weight, self.density)

    @judged_afterwards()
    def maximise(self, statistics: Statistics, before: Mixture | None = None) -> Mixture:
        """The mixture that maximises the expected log-likelihood, the ridge on its covariances.

        Equations [2] to [4] of EM, with the moments taken about any centres. Families without a
        formula go on from the covariances of `before`, the mixture that the statistics are of.

        Raises
        ------
        DegenerateCovarianceError
            With the components whose covariance is not positive definite.

        References
        ----------
        Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1,
        doi 10.1111/j.2517-6161.1977.tb01600.x.
        """
        mixture = self._maximum(statistics, before)
        _check_above_rounding(mixture)
        return mixture

    def _maximum(self, statistics: Statistics, before: Mixture | None) -> Mixture:
        family, more = self.family, self.concentration - 1
        seen, occupied = statistics, statistics.counts + empty(statistics)
        total = statistics.seen + len(occupied) * more
        weights, noise = (occupied + more) / total, self.noise(statistics.noise / total)
        if self.prior is not None:
            seen, occupied = self.prior.added_to(statistics), occupied + self.prior.freedom
        counts = seen.counts + empty(statistics)
        steps = seen.first_moment / counts[:, None]
        means = _moved(seen, counts, steps)
        between = family.pool(times_counts(counts, family.structure.outer(steps)))
        scatter = family.structure.symmetric(seen.scatter - between)
        if self.ridge:
            # Where each component has its own covariance, or all share one, this is the ridge on
            # its diagonal. Covariances that constrain one another are fitted with it, and keep
            # their form.
            identity = identity_of(family.structure, means.shape[1])
            scatter = scatter + family.pool(np.multiply.outer(self.ridge * occupied, identity))
        if not np.isfinite(scatter).all():
            raise DegenerateCovarianceError(())
        earlier = None if before is None else before.covariance_stack
        covariances = family.estimate(scatter, occupied, means.shape[1], earlier)
        means = means.astype(self.dtype, copy=False)
        mixture = Mixture.of(weights, means, covariances, family, noise)
        if self.prior is None:
            _check_definite(mixture)
        return mixture

    @judged_afterwards()
    def maximise_recentred(
        self,
        statistics: Statistics,
        again: Callable[[Array], Statistics],
        before: Mixture | None = None,
    ) -> Mixture:
        """The M-step, from moments taken once more about the new means where that is needed.

        `again` maps (K, D) centres to the same statistics about these. It is called when the new
        means lie so far from the old centres, in the new standard deviations, that the covariances
        would not have the digits we promise: a narrow component that a start has just found. One
        point near all means may do as well as each component's own, and makes a cheaper pass.
        """
        mixture = self._maximum_if_any(statistics, before)
        if mixture is not None:
            if is_accurate(mixture, statistics.centres, self._times(mixture, statistics)):
                return mixture
            one = one_centre(mixture)
            if one is not None:
                seen = again(one)
                mixture = self._maximum_if_any(seen, before)
                if mixture is not None and is_accurate(mixture, one, self._times(mixture, seen)):
                    return mixture
        seen = statistics if self.prior is None else self.prior.added_to(statistics)
        return self.maximise(again(new_means(seen)), before)

    def _times(self, mixture: Mixture, statistics: Statistics) -> Array | float:
        """How many times the covariances of their own moments the covariances are."""
        if self.prior is not None:
            return 1.0
        own = statistics.scatter, statistics.counts, statistics.mean_offsets
        return self.family.enlargement(mixture.covariance_stack, *own)

    def _maximum_if_any(self, statistics: Statistics, before: Mixture | None) -> Mixture | None:
        """The maximum, if there is one; it may be no more than rounding."""
        try:
            return self._maximum(statistics, before)
        except DegenerateCovarianceError:
            return None

    def min_count(self, n_features: int) -> int:
        """Rows that a component needs for a definite covariance; none where a prior gives one."""
        return self.family.min_count(n_features) if self.prior is None else 0

    def log_prior(self, mixture: Mixture) -> float:
        """Log-density of all priors at a mixture, but for a constant; 0 where there are none."""
        density = 0.0 if self.prior is None else self.prior.log_density(mixture)
        if self.concentration == 1:
            return density
        with np.errstate(divide="ignore"):
            log_weights = np.log(mixture.weights, dtype=np.float64)
        return density + (self.concentration - 1) * float(log_weights.sum())
