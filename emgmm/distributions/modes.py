"""Modes of a Gaussian mixture.

The fixed points of the mean-shift step x <- A(x)^-1 sum_k r_k(x) P_k mu_k, where A = sum_k r_k P_k
and P_k are precisions, are the stationary points of the density. The step never decreases the
density, as it is an EM step; near a maximum Newton steps are faster.

References
----------
Carreira-Perpinan (2000), IEEE Trans. Pattern Anal. 22:1318, doi 10.1109/34.888716.
Ray and Lindsay (2005), Ann. Statist. 33:2042, doi 10.1214/009053605000000417.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from emgmm.mixture import Mixture
from emgmm.tolerances import EPS, checked_afterwards, negligible_underflow
from emgmm.typing import Array

# Number of starts between the means of the components, and the largest for each pair of them.
STARTS = 256
STARTS_PER_PAIR = 31

# Limit of the steps from one start, and the length at which a search ends. Lengths are in standard
# deviations of a normal distribution with the precision A.
MAX_ITER = 2000
SHORTEST = 1e-11

# Distance below which two points are the same mode.
SAME = 1e-4

# An eigenvalue of the Hessian, relative to A, above which a stationary point is not a maximum. It
# is exactly 0 where two maxima merge, and rounding decides about its sign.
ASCENT = 1e-6


@negligible_underflow
@checked_afterwards
def modes(mixture: Mixture) -> Array:
    """Return the local maxima of the Gaussian components together, (M, D), the highest first."""
    density = _Density(mixture)
    points = density.starts()
    active = np.arange(len(points))
    for _ in range(MAX_ITER):
        points[active], lengths = density.step(points[active])
        active = active[lengths > SHORTEST]
        if not len(active):
            break
    points = np.delete(points, active, axis=0)  # which do not converge
    points = points[density.are_maxima(points)]
    points = points[np.argsort(-density.log_density(points), kind="stable")]
    found = []
    while len(points):
        found.append(points[0])
        precision = density.local(points[:1])[2][0]
        offsets = (points - points[0]) / density.units
        same = np.einsum("nd,de,ne->n", offsets, precision, offsets) <= SAME**2
        points = points[np.logical_not(same)]
    return np.reshape(found, (-1, mixture.n_features))


class _Density:
    """Density of the Gaussian components of a mixture, its gradient and its Hessian.

    Differences between points are in units of the features, powers of two in the middle between
    their smallest and their largest standard deviation, so that products of precisions do not
    overflow.
    """

    def __init__(self, mixture: Mixture) -> None:
        sds = np.sqrt(mixture.variances, dtype=np.float64)
        ends = np.log2([sds.min(axis=0), sds.max(axis=0)])
        self.units = np.exp2(np.round(ends.mean(axis=0)))
        self.log_peaks = mixture.log_peaks
        self.means = mixture.means.astype(np.float64)
        factors = mixture.family.structure.dense(
            mixture.each_precision_cholesky, mixture.n_features
        )
        factors = self.units[:, None] * factors
        self.precisions = factors @ factors.swapaxes(1, 2)

    def starts(self) -> Array:
        """Return the means of the components, and points between those of each pair.

        All stationary points of two components are on the curve of the points with
        (a P_k + (1 - a) P_l) (x - mu_k) = (1 - a) P_l (mu_l - mu_k).
        """
        pairs = np.array(list(combinations(range(len(self.means)), 2)), dtype=int).reshape(-1, 2)
        if not len(pairs):
            return self.means.copy()
        number = min(STARTS_PER_PAIR, max(1, STARTS // len(pairs)))
        shares = (np.arange(number) + 0.5)[:, None, None, None] / number
        first, second = pairs.T
        apart = ((self.means[second] - self.means[first]) / self.units)[..., None]
        left = shares * self.precisions[first] + (1 - shares) * self.precisions[second]
        right = (1 - shares) * (self.precisions[second] @ apart)
        between = self.means[first] + np.linalg.solve(left, right)[..., 0] * self.units
        between = between.reshape(-1, self.means.shape[1])
        in_reach = self.log_density(between) > -np.inf
        return np.concatenate([self.means, between[in_reach]])

    def log_joint(self, points: Array) -> tuple[Array, Array]:
        """Return the log-joint, (n, K), and the products P_k (mu_k - x), (n, K, D).

        Where the log-joint overflows, it is -inf and the product is 0.
        """
        deviations = (self.means - points[:, None]) / self.units
        pulls = np.einsum("kde,nke->nkd", self.precisions, deviations)
        log_joint = self.log_peaks - 0.5 * np.einsum("nkd,nkd->nk", deviations, pulls)
        in_reach = log_joint > -np.inf
        return np.where(in_reach, log_joint, -np.inf), np.where(in_reach[..., None], pulls, 0.0)

    def log_density(self, points: Array) -> Array:
        """Return the log-density of (n, D) points, (n,)."""
        return logsumexp(self.log_joint(points)[0], axis=1)

    def local(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """Return log-densities, gradients, the matrices A, and the Hessians plus A.

        These are derivatives of the log-density; at a stationary point, its Hessian has the signs
        of that of the density.
        """
        log_joint, pulls = self.log_joint(points)
        shares = softmax(log_joint, axis=1)
        gradients = np.einsum("nk,nkd->nd", shares, pulls)
        centred = pulls - gradients[:, None]
        spread = (shares[..., None] * centred).swapaxes(1, 2) @ centred
        return (
            logsumexp(log_joint, axis=1),
            gradients,
            np.tensordot(shares, self.precisions, 1),
            spread,
        )

    def step(self, points: Array) -> tuple[Array, Array]:
        """Return the points after a Newton or a mean-shift step, and the lengths of the steps."""
        before, gradients, precisions, spreads = self.local(points)
        steps = np.linalg.solve(precisions, gradients[:, :, None])[:, :, 0]
        concave = np.flatnonzero(_ascents(precisions, spreads) < 0)
        curvature = (precisions - spreads)[concave]
        newton = np.linalg.solve(curvature, gradients[concave, :, None])[:, :, 0]
        shift = self.log_density(points[concave] + steps[concave] * self.units)
        least = np.maximum(shift, before[concave])
        reached = self.log_density(points[concave] + newton * self.units)
        better = reached >= least - 8 * EPS * (1 + np.abs(least))
        steps[concave[better]] = newton[better]
        lengths = np.sqrt(np.einsum("nd,nde,ne->n", steps, precisions, steps))
        return points + steps * self.units, lengths

    def are_maxima(self, points: Array) -> NDArray[np.bool_]:
        """Return at which stationary points the density has a maximum."""
        _, _, precisions, spreads = self.local(points)
        return _ascents(precisions, spreads) <= ASCENT


def _ascents(precisions: Array, spreads: Array) -> Array:
    """Return the largest eigenvalue of each Hessian relative to A, (n,)."""
    factors = np.linalg.cholesky(precisions)
    half = np.linalg.solve(factors, spreads)
    return np.linalg.eigvalsh(np.linalg.solve(factors, half.swapaxes(1, 2)))[:, -1] - 1
