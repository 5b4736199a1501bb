"""Rotations in disjoint planes, of which the common axes of covariances are composed."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emgmm.typing import Array


class Planes(NamedTuple):
    """Disjoint planes of two axes each.

    Parameters
    ----------
    first, second : (n,)
        Axes of the planes, i and j.
    entries : (3 n,)
        Positions of the entries ii, ij and jj of the planes in a flat (D, D) matrix.
    changed : (4 n,)
        Positions of the entries ii, jj, ji and ij.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    entries: NDArray[np.intp]
    changed: NDArray[np.intp]


@cache
def disjoint_planes(n_features: int) -> tuple[Planes, ...]:
    """Return all pairs of features in rounds of disjoint pairs, as in a round-robin tournament."""
    order = list(range(n_features + n_features % 2))  # an odd number of features gets a dummy
    rounds = []
    for _ in range(len(order) - 1):
        half = len(order) // 2
        opposite = zip(order[:half], reversed(order[half:]), strict=True)
        pairs = np.array([pair for pair in opposite if max(pair) < n_features], dtype=np.intp)
        i, j = pairs.reshape(-1, 2).T.copy()
        ii, ij, ji, jj = (a * n_features + b for a in (i, j) for b in (i, j))
        entries, changed = np.concatenate((ii, ij, jj)), np.concatenate((ii, jj, ji, ij))
        rounds.append(Planes(i, j, entries, changed))
        order = [order[0], order[-1], *order[1:-1]]
    return tuple(rounds)


def best_rotations(scatters: Array, inverses: Array, planes: Planes) -> Array:
    """Return rotations in disjoint planes that minimize sum_kd scatters_kdd * inverses_kd.

    In the plane of axes i and j, the new axes are q and its normal, where q is the eigenvector of
    the smallest eigenvalue of sum_k (1 / b_ki - 1 / b_kj) times the scatter in the plane.

    Parameters
    ----------
    scatters : (C, K, D, D)
        Scatters along each of C sets of axes.
    inverses : (C, K, D)
        Inverses of the variances along the axes, 1 / b.
    planes : Planes
        The planes.

    Returns
    -------
    (C, D, D) array
        The rotations.
    """
    C, K, D, _ = scatters.shape
    weights = inverses.take(planes.first, axis=2) - inverses.take(planes.second, axis=2)
    entries = scatters.reshape(C, K, D * D).take(planes.entries, axis=2).reshape(C, K, 3, -1)
    weighted = (entries * weights[:, :, None]).transpose(0, 2, 3, 1)
    sums = np.add.reduce(weighted.copy(), axis=-1)  # in the order of the sum of one vector
    first, mixed, second = sums[:, 0], sums[:, 1], sums[:, 2]
    angles = 0.5 * np.arctan2(-2 * mixed, second - first)
    cosines, sines = np.cos(angles), np.sin(angles)
    rotations = np.empty((C, D * D))
    rotations[:] = _identity(D)
    rotations[:, planes.changed] = np.concatenate((cosines, cosines, sines, -sines), axis=1)
    return rotations.reshape(C, D, D)


@cache
def _identity(n_features: int) -> Array:
    return np.eye(n_features).ravel()


def rotated(axes: Array, scatters: Array) -> Array:
    """Return the scatters in the coordinates of each of C sets of axes, (C, K, D, D)."""
    return np.swapaxes(axes, 1, 2)[:, None] @ scatters @ axes[:, None]
