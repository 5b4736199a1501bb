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

from emgmm.tolerances import EPS, TINY
from emgmm.typing import Array

# Step of the grid, in the logit of the position on the ridgeline, between whose points the modes
# are found. All terms of the equation are functions of logistic curves, which vary over a length
# of about one.
STEP = 1 / 16

# Distance from their centres at which these curves are constant in float64.
SATURATED = 40.0

# Largest squared distance that is distinguished, so that all logarithms of densities are finite.
FARTHEST = 1e300


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
    sds : (D,)
        Standard deviations of the second Gaussian, whose squares may overflow.
    """

    log_odds: float
    offset: Array
    sds: Array

    @classmethod
    def of(cls, one: Gaussian, other: Gaussian) -> Pair:
        """Return two Gaussians in their common coordinates."""
        # Singular values keep more digits than eigenvalues, if some variances are far larger.
        first, second = (cholesky(_definite(each.covariance), lower=True) for each in (one, other))
        rotation, sds, _ = svd(solve_triangular(first, second, lower=True))
        # Those far below the largest are lost in its rounding; they are the largest of the inverse.
        inverses = svd(solve_triangular(second, first, lower=True), compute_uv=False)[::-1]
        sds = np.where(sds > EPS**0.5 * sds[0], sds, 1 / np.clip(inverses, TINY, 1 / TINY))
        axes = solve_triangular(first.T, rotation)
        with np.errstate(divide="ignore", invalid="ignore"):  # weights of 0
            log_odds = float(np.log(np.divide(other.weight, one.weight)))
        return cls(log_odds, axes.T @ (other.mean - one.mean), sds)

    @property
    def log_bhattacharyya(self) -> float:
        """Logarithm of the Bhattacharyya coefficient of the densities; 0 if they are equal."""
        between = np.hypot(1.0, self.sds) * 0.5**0.5  # of the mean covariance
        distance = _squares(self.offset / between) / 8
        distance += np.log(between).sum() - 0.5 * np.log(self.sds).sum()
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
        reach = SATURATED + 2 * float(np.abs(np.log(self.sds)).max())
        ends = self._log_ratio(np.array([-reach, reach]))
        low, high = np.clip(ends, -reach, reach)
        grid = np.linspace(low - 1.0, high + 1.0, 4 + math.ceil((high - low + 2.0) / STEP))
        outside = 1.0 + 8 * EPS * np.abs(ends)  # beyond the rounding of the ends
        return np.unique(np.concatenate([ends[:1] - outside[:1], grid, ends[1:] + outside[1:]]))

    def _ridgeline(self, logit: Array | float) -> tuple[Array, Array]:
        """Return the (..., D) offsets of points of the ridgeline from both means.

        `logit` is that of the position, which is 0 at the first mean and 1 at the second.
        """
        position = np.asarray(logit)[..., None] - 2 * np.log(self.sds)
        return self.offset * expit(position), -self.offset * expit(-position)

    def _log_joints(self, logit: Array | float) -> tuple[Array, Array]:
        """Return the logarithms of both weighted densities at points of the ridgeline."""
        from_first, from_second = self._ridgeline(logit)
        with np.errstate(over="ignore"):
            log_joint = self.log_odds - 0.5 * _squares(from_second / self.sds)
        return -0.5 * _squares(from_first), log_joint - np.log(self.sds).sum()

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


def _squares(offsets: Array) -> Array:
    """Return the squared lengths of (..., D) offsets, at most `FARTHEST`."""
    with np.errstate(over="ignore"):
        squares: Array = np.minimum((offsets**2).sum(axis=-1), FARTHEST)
    return squares


def _definite(covariance: Array) -> Array:
    """Return a covariance that rounding cannot make indefinite."""
    return covariance + np.diag(4 * EPS * len(covariance) * np.diagonal(covariance))
