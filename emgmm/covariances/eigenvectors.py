"""Families that are axis-aligned in axes of their own: laws of variances, turned.

Sigma_k = D_k diag(b_k) D_k^T. Given the axes D_k, the variances b_k are those that an axis-aligned
family makes of the diagonals of D_k^T W_k D_k. What remains is to find the axes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances.dense import DENSE
from emgmm.covariances.family import Family
from emgmm.tolerances import EPS, distinct_factors
from emgmm.typing import Array, Integers

# Most sweeps of rotations in one M-step where EM brings the axes of its last step.
SWEEPS = 4

# Where it does not: how many of the best of several axes have so many sweeps, one after the other.
TRIALS = ((None, 4), (3, 16), (1, 180))

# Share of all scatters' largest eigenvalues by which one may be below zero: products in float32
# lose less than that.
INDEFINITE = 1e-6

# The variance along an axis in which no component has any, while axes are sought.
NOTHING = 1e-200

# Costs per unit counts that differ by less are as good as each other: the first axes are then kept.
ALIKE = 1e-8

# Gain per unit counts and feature below which a sweep has found its maximum.
SETTLED = 1e-13

# Relative difference of two variances below which any axes in their plane are as good.
TIED = 1e-9


class _Turned(Family):
    """What `OwnAxes` and `CommonAxes` have in common.

    Parameters
    ----------
    name : str
        What ``covariance_type`` calls it.
    along : Family
        The law of the variances along the axes, an axis-aligned family.
    """

    closed_under_scaling = False  # axes that are orthogonal in some units are not so in others

    def __init__(self, name: str, along: Family) -> None:
        super().__init__(name, DENSE, pooled=along.pooled)
        self.along = along

    def min_count(self, n_features: int) -> int:
        return self.along.min_count(n_features)

    def _refuse_indefinite(self, eigenvalues: Array) -> None:
        """No rows have such scatters; extrapolated statistics may."""
        self.raise_degenerate(eigenvalues[:, 0] < -INDEFINITE * eigenvalues[:, -1].sum())

    def _refuse_unresolved(self, variances: Array) -> None:
        """No variances that are less than the rounding of the largest along another axis.

        Columns in units that are so far apart have no axes of their own in numbers, and other units
        would make another model of them.
        """
        least = EPS * variances.shape[1] * variances.max(axis=1)
        self.raise_degenerate(np.logical_not(variances.min(axis=1) > least))

    def _variances(
        self, profiles: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        """(K, D): what the law makes of the scatters along the axes."""
        pooled = self.along.pool(profiles)
        return self.along.estimate(pooled, counts, n_features, before)


class OwnAxes(_Turned):
    """Each component has its own axes: EEV and VEV.

    They are the eigenvectors of its scatter, in the order of the eigenvalues, which is the same in
    all components: so a law that holds components together matches their widest axes, and so on.

    References
    ----------
    Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        profiles, axes = np.linalg.eigh(scatter)
        self._refuse_indefinite(profiles)
        earlier = None if before is None else np.linalg.eigvalsh(before)
        variances = self._variances(np.maximum(profiles, 0.0), counts, n_features, earlier)
        self._refuse_unresolved(variances)
        return _turned(axes, variances)

    def min_count(self, n_features: int) -> int:
        # Of fewer rows some axes have no variance at all, and others are left open.
        return DENSE.min_rows(n_features)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        turns = n_components * n_features * (n_features - 1) // 2
        return self.along.n_covariance_parameters(n_components, n_features) + turns


class CommonAxes(_Turned):
    """All components have the same axes, in any order of their variances: EVE and VVE.

    The axes are turned plane by plane, as Flury and Gautschi do, each plane to its exact optimum
    for given variances, and the variances follow. No step lowers the likelihood. It has several
    maxima in the axes: the first time sweeps are made from several axes, later from those of EM.

    References
    ----------
    Flury and Gautschi (1986), SIAM J. Sci. Stat. Comput. 7:169, doi 10.1137/0907013.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        self._refuse_indefinite(np.linalg.eigvalsh(scatter))
        stack = beginnings(scatter, before)
        if len(stack) == 1:
            _, stack = self._turn(stack, scatter, counts, SWEEPS)
        else:
            for number, sweeps in TRIALS:
                costs, stack = self._turn(stack[:number], scatter, counts, sweeps)
                alike = np.round(costs / (ALIKE * counts.sum()))
                stack = stack[np.argsort(alike, kind="stable")]
        axes = stack[0]
        profiles = _diagonals(axes.T @ scatter @ axes)
        variances = self._variances(np.maximum(profiles, 0.0), counts, n_features)
        self._refuse_unresolved(variances)
        return _turned(axes[None], variances)

    def _held(self, profiles: Array, counts: Array) -> Array:
        """(C, K, D): variances for given axes; a component without rows along one keeps rounding.

        `profiles` are the scatters along each of C axes.
        """
        pooled = np.maximum(profiles, 0.0).sum(axis=1)  # rounding may leave less than nothing
        least = EPS * (pooled + EPS * pooled.sum(axis=1, keepdims=True)) + NOTHING
        held = np.maximum(profiles, least[:, None, :])
        return np.stack([self._variances(each, counts, profiles.shape[2]) for each in held])

    def _cost(self, variances: Array, counts: Array) -> Array:
        """(C,): minus twice the log-likelihood but for a constant, for the best variances."""
        return np.log(variances).sum(axis=2) @ counts

    def _turn(self, axes: Array, scatter: Array, counts: Array, sweeps: int) -> tuple[Array, Array]:
        """The costs (C,) and the axes (C, D, D) after sweeps of rotations of each."""
        D = axes.shape[-1]
        seen = _seen_from(axes, scatter)
        variances = self._held(_diagonals(seen), counts)
        cost = self._cost(variances, counts)
        for _ in range(sweeps):
            for one, other in disjoint_planes(D):
                turn = best_turn(seen, variances, one, other)
                axes = axes @ turn
                seen = _seen_from(turn, seen)
            variances = self._held(_diagonals(seen), counts)
            last, cost = cost, self._cost(variances, counts)
            if (last - cost <= SETTLED * counts.sum() * D).all():
                break
        return cost, axes

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        turns = n_features * (n_features - 1) // 2
        return self.along.n_covariance_parameters(n_components, n_features) + turns


def best_turn(seen: Array, variances: Array, one: Integers, other: Integers) -> Array:
    """(C, D, D): the rotations in disjoint planes that minimise sum_kj seen_kjj / variances_kj.

    In a plane the axes become q and its normal, q being the eigenvector of the smallest eigenvalue
    of sum_k (1 / b_k,one - 1 / b_k,other) times the scatter in the plane. Of each of C axes,
    `seen` are the scatters (C, K, D, D) and `variances` are (C, K, D).
    """
    weights = 1 / variances[:, :, one] - 1 / variances[:, :, other]
    first = (weights * seen[:, :, one, one]).sum(axis=1)
    mixed = (weights * seen[:, :, one, other]).sum(axis=1)
    second = (weights * seen[:, :, other, other]).sum(axis=1)
    angles = 0.5 * np.arctan2(-2 * mixed, second - first)
    turn = np.zeros((len(seen), *seen.shape[2:]))
    turn[:] = np.eye(seen.shape[-1])
    turn[:, one, one] = turn[:, other, other] = np.cos(angles)
    turn[:, other, one] = np.sin(angles)
    turn[:, one, other] = -turn[:, other, one]
    return turn


@cache
def disjoint_planes(n_features: int) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]:
    """All pairs of features in rounds of disjoint ones, as a tournament pairs its players."""
    players = list(range(n_features + n_features % 2))  # who meets the extra one sits out
    rounds = []
    for _ in range(len(players) - 1):
        half = len(players) // 2
        met = zip(players[:half], reversed(players[half:]), strict=True)
        pairs = np.array([pair for pair in met if max(pair) < n_features], dtype=np.intp)
        pairs = pairs.reshape(-1, 2)
        rounds.append((pairs[:, 0], pairs[:, 1]))
        players = [players[0], players[-1], *players[1:-1]]
    return tuple(rounds)


def beginnings(scatter: Array, before: Array | None) -> Array:
    """Axes (n, D, D) to begin at.

    The axes that the covariances before have in common; where there are none, or their variances
    are equal and leave the axes open, also the features' own and eigenvectors of the scatters.
    """
    candidates = [np.eye(scatter.shape[-1])[None]]
    if before is not None:
        shares = distinct_factors(len(before))
        shares = shares / np.trace(before, axis1=1, axis2=2)
        variances, axes = np.linalg.eigh(np.tensordot(shares, before, axes=1))
        if (np.diff(variances) > TIED * variances[1:]).all():
            return axes[None]
        candidates.append(axes[None])
    candidates += [np.linalg.eigh(matrices)[1] for matrices in (scatter.sum(axis=0)[None], scatter)]
    return np.concatenate(candidates)


def _seen_from(axes: Array, scatters: Array) -> Array:
    """(C, K, D, D): K scatters, the same or others for each of (C, D, D) axes, along these."""
    return np.swapaxes(axes, 1, 2)[:, None] @ scatters @ axes[:, None]


def _diagonals(matrices: Array) -> Array:
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def _turned(axes: Array, variances: Array) -> Array:
    """(K, D, D): D_k diag(b_k) D_k^T, symmetric to the last digit."""
    matrices = (axes * variances[:, None, :]) @ np.swapaxes(axes, 1, 2)
    return (matrices + np.swapaxes(matrices, 1, 2)) / 2
