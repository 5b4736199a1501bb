"""Covariance families with constraints on the eigenvectors.

Sigma_k = D_k diag(b_k) D_k^T. Given the axes D_k, an axis-aligned family estimates the variances
b_k from the diagonals of D_k^T W_k D_k. It remains to find the axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emgmm.covariances.dense import DENSE
from emgmm.covariances.family import Family
from emgmm.covariances.rotations import in_coordinates, rotated_in_turn, rotated_jointly
from emgmm.tolerances import EPS, TINY, distinct_factors
from emgmm.typing import Array

# Maximum number of sweeps of rotations in an M-step that starts from the axes of the previous one.
SWEEPS = 4

# (candidates, sweeps) of the rounds of an M-step without previous axes: each round continues with
# the best candidates of the round before.
ROUNDS = ((None, 4), (3, 16), (1, 180))

# A negative eigenvalue of a scatter is attributed to rounding if its magnitude is below this
# fraction of the sum of the scatters' largest eigenvalues. Products in float32 lose less.
INDEFINITE = 1e-6

# The variance assumed along an axis in which no component has any, while axes are sought.
NO_VARIANCE = 1e-200

# Costs per unit count that differ by less are considered equal: the first candidate is then kept.
EQUAL_COSTS = 1e-8

# Gain per unit count and feature below which the sweeps have converged.
TOLERANCE = 1e-13

# Fraction of this gain up to which a loss is rounding.
ROUNDING = 0.1

# Relative difference of two variances below which the axes in their plane are arbitrary.
EQUAL_VARIANCES = 1e-9


class _Rotated(Family):
    """Base class of families whose variances along the axes follow an axis-aligned family.

    Parameters
    ----------
    name : str
        Value of ``covariance_type``.
    along : Family
        Axis-aligned family of the variances along the axes.
    """

    closed_under_scaling = False  # orthogonality of the axes depends on the units

    def __init__(self, name: str, along: Family) -> None:
        super().__init__(name, DENSE, pooled=along.pooled)
        self.along = along
        self.equal_volumes = along.equal_volumes

    def min_count(self, n_features: int) -> int:
        return self.along.min_count(n_features)

    def has_marginals(self, features: Sequence[int], n_features: int) -> bool:
        return len(features) == n_features  # fewer features have axes of their own

    def _check_eigenvalues(self, eigenvalues: Array) -> None:
        """Raise if a scatter is indefinite, which extrapolated statistics can be."""
        least = -INDEFINITE * eigenvalues[:, -1].sum()
        self.require_definite(np.logical_not(eigenvalues[:, 0] < least))

    def _check_resolved(self, variances: Array) -> None:
        """Raise if a variance is below the rounding of the largest one along another axis.

        The axes of columns in units that are so far apart are determined by rounding.
        """
        least = EPS * variances.shape[1] * variances.max(axis=1)
        self.require_definite(variances.min(axis=1) > least)


class OwnAxes(_Rotated):
    """Covariances whose axes differ between components: EEV and VEV.

    The axes of a component are the eigenvectors of its scatter in the order of the eigenvalues. A
    constraint between components therefore relates their widest axes, their second widest, etc.

    References
    ----------
    Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        profiles, axes = np.linalg.eigh(scatter)
        self._check_eigenvalues(profiles)
        earlier = None if before is None else np.linalg.eigvalsh(before)
        pooled = self.along.pool(np.maximum(profiles, 0.0))
        variances = self.along.estimate(pooled, counts, n_features, earlier)
        self._check_resolved(variances)
        return _from_axes(axes, variances)

    def min_count(self, n_features: int) -> int:
        # With fewer rows, some axes have no variance and others are arbitrary.
        return DENSE.min_rows(n_features)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        rotations = n_components * n_features * (n_features - 1) // 2
        return self.along.n_covariance_parameters(n_components, n_features) + rotations


class CommonAxes(_Rotated):
    """Covariances with the same axes, in any order of the variances: EVE and VVE.

    As in the algorithm of Flury and Gautschi, the axes are rotated in planes, each to its optimum
    for given variances, and the variances are then updated; here, in all planes at once unless that
    lowers the likelihood. No step lowers the likelihood, which has several maxima in the axes: the
    first M-step therefore tries several sets of axes, and later ones continue from those of the
    previous iteration.

    References
    ----------
    Flury and Gautschi (1986), SIAM J. Sci. Stat. Comput. 7:169, doi 10.1137/0907013.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        self._check_eigenvalues(np.linalg.eigvalsh(scatter))
        candidates = initial_axes(scatter, before)
        if len(candidates) == 1:
            _, candidates = self._rotate(candidates, scatter, counts, SWEEPS)
        else:
            for number, sweeps in ROUNDS:
                costs, candidates = self._rotate(candidates[:number], scatter, counts, sweeps)
                rounded = np.round(costs / (EQUAL_COSTS * counts.sum()))
                candidates = candidates[np.argsort(rounded, kind="stable")]
        axes = candidates[0]
        profiles = _diagonals(axes.T @ scatter @ axes)
        self.require_definite(profiles > _least(profiles))
        variances = self.along.estimate(self.along.pool(profiles), counts, n_features)
        self._check_resolved(variances)
        return _from_axes(axes[None], variances)

    def _optimum(self, scatters: Array, counts: Array) -> tuple[Array, Array]:
        """Return the variances along each of C sets of axes, (C, K, D), and their costs, (C,).

        `scatters` are those in the coordinates of the axes. A component without variance along an
        axis is assigned one of the size of rounding errors. The cost is -2 log-likelihood, up to a
        constant.
        """
        profiles = _diagonals(scatters)
        bounded = np.maximum(profiles, _least(profiles))
        # They underflow if a prior counts for very many rows.
        variances = np.maximum(self.along.estimate_each(bounded, counts, profiles.shape[2]), TINY)
        return variances, np.add.reduce(np.log(variances), axis=2) @ counts

    def _rotate(
        self, axes: Array, scatter: Array, counts: Array, sweeps: int
    ) -> tuple[Array, Array]:
        """Return the costs (C,) and the axes (C, D, D) after sweeps of rotations.

        A sweep rotates in all planes at once, or, if that raises a cost by more than the tolerance,
        in one after another. The last sweep, which gains less, is discarded if it raises the cost.
        """
        least = TOLERANCE * counts.sum() * axes.shape[-1]
        scatters = in_coordinates(axes, scatter)
        variances, costs = self._optimum(scatters, counts)
        for _ in range(sweeps):
            last, before = costs, (axes, scatters, variances)
            for rotated in rotated_jointly, rotated_in_turn:
                axes, scatters = rotated(*before)
                variances, costs = self._optimum(scatters, counts)
                if (costs <= last + least).all():
                    break
            if (last - costs <= least).all():
                rises = costs - last > ROUNDING * least
                axes = np.where(rises[:, None, None], before[0], axes)
                return np.where(rises, last, costs), axes
        return costs, axes

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        rotations = n_features * (n_features - 1) // 2
        return self.along.n_covariance_parameters(n_components, n_features) + rotations


def initial_axes(scatter: Array, before: Array | None) -> Array:
    """Return candidates for the axes, (n, D, D).

    The only candidate is the common axes of the previous covariances, if their variances are
    distinct. Otherwise the candidates also include the features' axes and the eigenvectors of the
    scatters and of their sum.
    """
    candidates = [np.eye(scatter.shape[-1])[None]]
    if before is not None:
        weights = distinct_factors(len(before)) / np.trace(before, axis1=1, axis2=2)
        total = np.dot(weights[None], before.reshape(len(before), -1)).reshape(before.shape[1:])
        variances, axes = np.linalg.eigh(total)
        if (np.diff(variances) > EQUAL_VARIANCES * variances[1:]).all():
            return axes[None]
        candidates.append(axes[None])
    candidates += [np.linalg.eigh(matrices)[1] for matrices in (scatter.sum(axis=0)[None], scatter)]
    return np.concatenate(candidates)


def _least(profiles: Array) -> Array:
    """Return the smallest scatters along the axes that are not rounding errors, (..., 1, D).

    `profiles` are the scatters along the axes, (..., K, D).
    """
    # Rounding may make profiles negative.
    pooled = np.add.reduce(np.maximum(profiles, 0.0), axis=-2, keepdims=True)
    return EPS * (pooled + EPS * np.add.reduce(pooled, axis=-1, keepdims=True)) + NO_VARIANCE


def _diagonals(matrices: Array) -> Array:
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def _from_axes(axes: Array, variances: Array) -> Array:
    """Return D_k diag(b_k) D_k^T, (K, D, D), exactly symmetric."""
    matrices = (axes * variances[:, None, :]) @ np.swapaxes(axes, 1, 2)
    return (matrices + np.swapaxes(matrices, 1, 2)) / 2
