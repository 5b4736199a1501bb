"""Probabilities of a uniform distribution on a box that may be turned."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection
from scipy.stats import qmc

from emgmm.noise import Box
from emgmm.tolerances import checked_afterwards
from emgmm.typing import Array

# Largest number of features for which the volume of the part of a turned box is computed exactly.
# The number of its corners, and with it the time, grows exponentially.
MAX_EXACT = 6

# Base-2 logarithm of the number of lines that estimate the volume with more features.
LOG_LINES = 16

# Radius of the largest ball in a part whose volume is regarded as 0, relative to the edges.
THINNEST = 1e-13


@checked_afterwards
def share_of_box(box: Box, rows: Array, sign: int = 1) -> Array:
    """Return the share of a box below each of the (n, D) rows, or above if `sign` is -1, (n,).

    The part of a turned box below a row is a polytope, the intersection of half-spaces. Its volume
    is computed exactly up to `MAX_EXACT` features. With more, it is the mean length of its
    intersections with lines along the first edge, whose places are a Sobol sequence.
    """
    assert box.edges is not None
    if box.parallel:
        places = 0.5 + sign * (rows - box.centre) / box.sides
        return np.clip(places, 0.0, 1.0).prod(axis=1)
    # In coordinates along the edges, from -1/2 to 1/2, the feature d is less than limits[d] where
    # normals[d] @ coordinates is.
    lengths = np.linalg.norm(box.edges, axis=0)
    normals = sign * (box.edges / lengths).T
    limits = sign * (rows - box.centre) / lengths
    farthest = 0.5 * np.abs(normals).sum(axis=1)
    exact = len(box.sides) <= MAX_EXACT
    share = np.where((limits >= farthest).all(axis=1), 1.0, 0.0)
    for i in np.flatnonzero((np.abs(limits) < farthest).any(axis=1)):
        if (limits[i] > -farthest).all():
            cutting = limits[i] < farthest
            part = normals[cutting], limits[i, cutting]
            share[i] = _volume(*part) if exact else _estimated_volume(*part)
    return share


def _volume(normals: Array, limits: Array) -> float:
    """Return the volume of the part of the unit cube about 0 where normals @ x <= limits."""
    D = normals.shape[1]
    matrix = np.vstack((np.eye(D), -np.eye(D), normals))
    bounds = np.concatenate((np.full(2 * D, 0.5), limits))
    # The centre of the largest ball inside.
    radii = np.linalg.norm(matrix, axis=1)[:, None]
    objective = -np.eye(D + 1)[-1]
    ball = linprog(objective, np.hstack((matrix, radii)), bounds, bounds=(None, None)).x
    if ball is None or ball[-1] < THINNEST:
        return 0.0
    corners = HalfspaceIntersection(np.column_stack((matrix, -bounds)), ball[:-1]).intersections
    return float(ConvexHull(corners).volume)


def _estimated_volume(normals: Array, limits: Array) -> float:
    """Return an estimate of the same volume."""
    cube = qmc.Sobol(normals.shape[1] - 1, scramble=False).random_base2(LOG_LINES) - 0.5
    low, high = np.full(len(cube), -0.5), np.full(len(cube), 0.5)
    for (slope, *others), limit in zip(normals, limits, strict=True):
        rest = limit - cube @ np.array(others)
        if slope > 0:
            np.minimum(high, rest / slope, out=high)
        elif slope < 0:
            np.maximum(low, rest / slope, out=low)
        else:
            high[rest < 0] = -0.5
    return float(np.maximum(high - low, 0.0).mean())
