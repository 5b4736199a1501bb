"""Rotations in planes of two axes, of which the common axes of covariances are composed."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emgmm.typing import Array


class Planes(NamedTuple):
    """Planes of two axes each.

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

    @classmethod
    def of(cls, pairs: NDArray[np.intp], n_features: int) -> Planes:
        """Return the planes of (n, 2) pairs of axes."""
        i, j = pairs.T.copy()
        ii, ij, ji, jj = (a * n_features + b for a in (i, j) for b in (i, j))
        return cls(i, j, np.concatenate((ii, ij, jj)), np.concatenate((ii, jj, ji, ij)))


@cache
def disjoint_planes(n_features: int) -> tuple[Planes, ...]:
    """Return all pairs of features in rounds of disjoint pairs, as in a round-robin tournament."""
    order = list(range(n_features + n_features % 2))  # an odd number of features gets a dummy
    rounds = []
    for _ in range(len(order) - 1):
        half = len(order) // 2
        opposite = zip(order[:half], reversed(order[half:]), strict=True)
        pairs = np.array([pair for pair in opposite if max(pair) < n_features], dtype=np.intp)
        rounds.append(Planes.of(pairs.reshape(-1, 2), n_features))
        order = [order[0], order[-1], *order[1:-1]]
    return tuple(rounds)


@cache
def all_planes(n_features: int) -> Planes:
    """Return the planes of all pairs of features."""
    return Planes.of(np.transpose(np.triu_indices(n_features, 1)), n_features)


def best_angles(scatters: Array, inverses: Array, planes: Planes) -> Array:
    """Return angles of rotations, each of which minimizes sum_kd scatters_kdd * inverses_kd.

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
    (C, n) array
        The angles, in radians.
    """
    C, K, D, _ = scatters.shape
    weights = inverses.take(planes.first, axis=2) - inverses.take(planes.second, axis=2)
    entries = scatters.reshape(C, K, D * D).take(planes.entries, axis=2).reshape(C, K, 3, -1)
    weighted = (entries * weights[:, :, None]).transpose(0, 2, 3, 1)
    sums = np.add.reduce(weighted.copy(), axis=-1)  # in the order of the sum of one vector
    first, mixed, second = sums[:, 0], sums[:, 1], sums[:, 2]
    angles: Array = 0.5 * np.arctan2(-2 * mixed, second - first)
    return angles


def disjoint_rotations(angles: Array, planes: Planes, n_features: int) -> Array:
    """Return the rotations by (C, n) angles in disjoint planes, (C, D, D)."""
    cosines, sines = np.cos(angles), np.sin(angles)
    rotations = np.empty((len(angles), n_features * n_features))
    rotations[:] = _identity(n_features)
    rotations[:, planes.changed] = np.concatenate((cosines, cosines, sines, -sines), axis=1)
    return rotations.reshape(-1, n_features, n_features)


def joint_rotations(angles: Array, planes: Planes, n_features: int) -> Array:
    """Return rotations, (C, D, D), that are near those by (C, n) angles in all planes.

    They are 2 (I - A)^-1 - I, Cayley's transform of the skew-symmetric matrix A of the tangents of
    half the angles. If one angle only is not 0, this is the rotation by it.
    """
    tangents, identity = np.tan(0.5 * angles), _identity(n_features)
    skew = np.zeros((len(angles), n_features * n_features))
    skew[:, planes.changed[2 * len(planes.first) :]] = np.concatenate((tangents, -tangents), axis=1)
    shape = (-1, n_features, n_features)
    inverses = np.linalg.inv((identity - skew).reshape(shape))
    return 2 * inverses - identity.reshape(shape)


@cache
def _identity(n_features: int) -> Array:
    return np.eye(n_features).ravel()


def in_coordinates(axes: Array, scatters: Array) -> Array:
    """Return the scatters in the coordinates of each of C sets of axes, (C, K, D, D)."""
    return np.swapaxes(axes, 1, 2)[:, None] @ scatters @ axes[:, None]


def rotated_jointly(axes: Array, scatters: Array, variances: Array) -> tuple[Array, Array]:
    """Return axes rotated in all planes at once, and the scatters in their coordinates.

    The arguments are C sets of axes, the scatters in their coordinates, and the variances along
    them.
    """
    n_features = axes.shape[-1]
    planes = all_planes(n_features)
    angles = best_angles(scatters, 1 / variances, planes)
    rotations = joint_rotations(angles, planes, n_features)
    return axes @ rotations, in_coordinates(rotations, scatters)


def rotated_in_turn(axes: Array, scatters: Array, variances: Array) -> tuple[Array, Array]:
    """Return the same for rotations in one plane, or several disjoint ones, after another."""
    n_features, inverses = axes.shape[-1], 1 / variances
    for planes in disjoint_planes(n_features):
        angles = best_angles(scatters, inverses, planes)
        rotations = disjoint_rotations(angles, planes, n_features)
        axes, scatters = axes @ rotations, in_coordinates(rotations, scatters)
    return axes, scatters
