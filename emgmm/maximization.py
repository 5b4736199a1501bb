"""The M-step: statistics in, mixture out; no rows, and no difference between the E-step's forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emgmm.families import DegenerateCovarianceError, Family, mass_times
from emgmm.mixture import Mixture
from emgmm.precision import PROMISE, UNIT
from emgmm.statistics import Statistics
from emgmm.typing import Array

# Added to every mass, as scikit-learn does, so that an empty component has a mean: the origin. Of
# weights that sum to less than 1 it is this share, so that their scale does not matter.
EMPTY = 10 * UNIT

# A standard deviation below so many of the mean's own units of rounding is no more than rounding.
ROUNDING = 8 * UNIT


def empty(statistics: Statistics) -> float:
    """The mass that every component has, whatever the rows say."""
    return EMPTY * min(1.0, statistics.weight)


def new_means(statistics: Statistics) -> Array:
    """(K, D): sum_i r_ik x_i / (mass + empty), whatever the centres; 0 for an empty component."""
    nothing = empty(statistics)
    moved = statistics.drift - nothing * statistics.centres
    return statistics.centres + moved / (statistics.mass + nothing)[:, None]


def _check_above_rounding(mixture: Mixture) -> None:
    """Raise for covariances that are but the rounding of rows as large as the means."""
    family = mixture.family
    noise = ROUNDING * np.abs(mixture.means.astype(np.float64))
    family.refuse(family.shape.magnitude(mixture.each_whitener, noise) > 1)


def lost(mixture: Mixture, statistics: Statistics) -> float:
    """Bound of the covariances' relative error, for means that lie away from the centres."""
    away = np.abs(mixture.means - statistics.centres)
    return UNIT * float(mixture.family.shape.magnitude(mixture.each_whitener, away).max())


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
    """

    family: Family
    ridge: float
    dtype: np.dtype[Any]

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
        family = self.family
        mass = statistics.mass + empty(statistics)
        means = new_means(statistics)
        delta = statistics.drift / mass[:, None]
        between = family.pool(mass_times(mass, family.shape.outer(delta)))
        scatter = statistics.scatter - between
        earlier = None if before is None else before.covariance_stack
        covariances = family.estimate(scatter, mass, means.shape[1], earlier)
        covariances = family.add_ridge(covariances, self.ridge)
        weights = mass / statistics.seen
        mixture = Mixture.of(weights, means.astype(self.dtype), covariances, family)
        _check_above_rounding(mixture)
        return mixture

    def settle(
        self,
        statistics: Statistics,
        again: Callable[[Array], Statistics],
        before: Mixture | None = None,
    ) -> Mixture:
        """The M-step, from moments taken once more about the new means where that is needed.

        `again` maps (K, D) centres to the same statistics about these. It is called when the new
        means lie so far from the old centres, in the new standard deviations, that the covariances
        would not have the digits we promise: a narrow component that a start has just found.
        """
        try:
            mixture = self.maximise(statistics, before)
        except DegenerateCovarianceError:
            pass
        else:
            if lost(mixture, statistics) <= PROMISE:
                return mixture
        return self.maximise(again(new_means(statistics)), before)
