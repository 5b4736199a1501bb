"""Separation of two Gaussians: the Bhattacharyya coefficient and the ridgeline ratio.

References
----------
Bhattacharyya (1946), Sankhya 7:401.
Ray and Lindsay (2005), Ann. Statist. 33:2042, doi 10.1214/009053605000000417.
Hennig (2010), Adv. Data Anal. Classif. 4:3, doi 10.1007/s11634-010-0058-3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular, svd
from scipy.optimize import brentq
from scipy.special import expit

from emgmm.tolerances import EPS
from emgmm.typing import Array

# Step of the grid, in the logit of the position on the ridgeline, between whose points the modes
# are found. All terms of the equation are functions of logistic curves, which vary over a length
# of about one.
STEP = 1 / 16

# Distance from their centres at which these curves are constant in float64.
SATURATED = 40.0


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A weighted Gaussian, or a Gaussian with the moments of several weighted ones.

    Parameters
    ----------
    weight : float
        Weight.
    mean : (D,)
        Mean.
    covariance : (D, D)
        Covariance.
    """

    weight: float
    mean: Array
    covariance: Array

    @classmethod
    def of(cls, weights: Array, means: Array, covariances: Array) -> Gaussian:
        """Return the Gaussian with the moments of a mixture of the given (K,) components."""
        weight = weights.sum()
        shares = weights / weight if weight > 0 else np.full(len(weights), 1 / len(weights))
        mean = shares @ means
        offsets = means - mean
        between = (shares[:, None] * offsets).T @ offsets
        return cls(float(weight), mean, np.tensordot(shares, covariances, axes=1) + between)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two Gaussians in coordinates in which the first one is standard and both are axis-aligned.

    Parameters
    ----------
    log_odds : float
        Logarithm of the weight of the second Gaussian divided by that of the first.
    offset : (D,)
        Mean of the second Gaussian.
    variances : (D,)
        Variances of the second Gaussian.
    """

    log_odds: float
    offset: Array
    variances: Array

    @classmethod
    def of(cls, one: Gaussian, other: Gaussian) -> Pair:
        """Return two Gaussians in their common coordinates."""
        # Singular values keep more digits than eigenvalues, if some variances are far larger.
        first, second = (cholesky(_definite(each.covariance), lower=True) for each in (one, other))
        rotation, sds, _ = svd(solve_triangular(first, second, lower=True))
        axes = solve_triangular(first.T, rotation)
        with np.errstate(divide="ignore", invalid="ignore"):  # weights of 0
            log_odds = float(np.log(np.divide(other.weight, one.weight)))
        return cls(log_odds, axes.T @ (other.mean - one.mean), sds**2)

    @property
    def log_bhattacharyya(self) -> float:
        """Logarithm of the Bhattacharyya coefficient of the densities; 0 if they are equal."""
        between = 0.5 * (1 + self.variances)
        distance = (self.offset**2 / between).sum() / 8
        distance += 0.5 * np.log(between).sum() - 0.25 * np.log(self.variances).sum()
        return -float(distance)

    @property
    def log_ridgeline_ratio(self) -> float:
        """Logarithm of the ridgeline ratio; 0 if the mixture of the two Gaussians has one mode.

        The ratio is the lowest density between the two highest modes, divided by the density at the
        lower one of these.
        """
        if not math.isfinite(self.log_odds):
            return 0.0
        grid = self._grid()
        above = self._equation(grid) > 0
        ends = np.flatnonzero(above[1:] != above[:-1])
        roots = [brentq(lambda x: float(self._equation(x)), grid[i], grid[i + 1]) for i in ends]
        log_densities = self._log_density(np.array(roots))
        modes = np.arange(0, len(roots), 2)  # modes and minima alternate, and both ends are modes
        if len(modes) < 2:
            return 0.0
        first, last = sorted(modes[np.argsort(log_densities[modes])[-2:]])
        lower = min(log_densities[first], log_densities[last])
        return float(log_densities[first:last].min() - lower)

    def _grid(self) -> Array:
        """Return logits between which the roots of the equation are; others are in saturation."""
        reach = SATURATED + float(np.abs(np.log(self.variances)).max())
        ends = self._log_ratio(np.array([-reach, reach]))
        low, high = np.clip(ends, -reach, reach)
        grid = np.linspace(low - 1.0, high + 1.0, 4 + math.ceil((high - low + 2.0) / STEP))
        return np.unique(np.concatenate([[ends[0] - 1.0], grid, [ends[1] + 1.0]]))

    def _ridgeline(self, logit: Array | float) -> tuple[Array, Array]:
        """Return the (..., D) offsets of points of the ridgeline from both means.

        `logit` is that of the position, which is 0 at the first mean and 1 at the second.
        """
        logit = np.asarray(logit)[..., None]
        second, first = expit(logit), expit(-logit)
        total = first * self.variances + second
        return self.offset * second / total, -self.offset * first * self.variances / total

    def _log_joints(self, logit: Array | float) -> tuple[Array, Array]:
        """Return the logarithms of both weighted densities at points of the ridgeline."""
        from_first, from_second = self._ridgeline(logit)
        half_log_det = 0.5 * np.log(self.variances).sum()
        squares = (from_second**2 / self.variances).sum(axis=-1)
        log_joint = self.log_odds - half_log_det - 0.5 * squares
        return -0.5 * (from_first**2).sum(axis=-1), log_joint

    def _log_ratio(self, logit: Array | float) -> Array:
        first, second = self._log_joints(logit)
        return second - first

    def _log_density(self, logit: Array) -> Array:
        return np.logaddexp(*self._log_joints(logit))

    def _equation(self, logit: Array | float) -> Array:
        """Return a function that is 0 where the density is stationary and falls at its modes.

        At a stationary point, the position on the ridgeline is the posterior probability of the
        second Gaussian (Ray and Lindsay 2005).
        """
        return self._log_ratio(logit) - logit


def _definite(covariance: Array) -> Array:
    """Return a covariance that rounding cannot make indefinite."""
    return covariance + np.diag(4 * EPS * len(covariance) * np.diagonal(covariance))
