"""Cleaning: rows that look like noise are kept from a start, which would give them to components.

A row among others that are uniform about it, `rate` of them to a unit of volume, has its k-th
neighbour at a distance d of which the ball's volume, so d^D, has a gamma distribution with shape k.
Rows of clusters and noise make a mixture of two of these.

References
----------
Byers and Raftery (1998), J. Am. Stat. Assoc. 93:577, doi 10.1080/01621459.1998.10473711.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from emgmm.initialization.assignment import Assignment
from emgmm.initialization.methods import Start
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import Rows
from emgmm.typing import Array

# Rows that are looked at, at the most: neighbours of more take longer than EM.
MOST_ROWS = 2**14

# k: with fewer the distances scatter more, with more small clusters look like noise.
NEIGHBOUR = 12

# EM steps for the two distributions, from their halves.
STEPS = 50

# Share of noise beyond which what is left would be no clusters.
MOST = 0.9

TINY = float(np.finfo(float).tiny)


def denoised(start: Start) -> Start:
    """The start from rows that do not look like noise, where they are enough for it."""

    def begin(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        looked_at = rows.informative
        if len(looked_at) > MOST_ROWS:
            looked_at = np.sort(random.choice(looked_at, MOST_ROWS, replace=False))
        some = rows.take(looked_at)
        values = some.filled.astype(np.float64)
        astray = looks_like_noise(values)
        if len(np.unique(values[np.logical_not(astray)], axis=0)) < n_components:
            astray[:] = False  # what is left could not make so many clusters
        weights = np.ones(len(astray)) if some.weights is None else some.weights
        share = float(weights[astray].sum() / weights.sum())
        kept = some.take(np.flatnonzero(np.logical_not(astray)))
        return Cleaned(start(kept, n_components, random), n_components, kept, share)

    return begin


@dataclass(frozen=True, eq=False)
class Cleaned(Assignment):
    """What a start says of some rows, where a share of all is noise."""

    assignment: Assignment
    n_components: int
    kept: Rows
    share: float

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:  # noqa: ARG002
        mixture = self.assignment.first_mixture(self.kept, m_step)
        shares = mixture.weights / mixture.weights.sum()
        weights = (shares * (1 - self.share)).astype(mixture.weights.dtype)
        return replace(mixture, weights=weights, noise=m_step.noise(self.share))


def looks_like_noise(rows: Array) -> NDArray[np.bool_]:
    """(n,): which of the (n, D) rows look like noise; none where that would be nearly all."""
    n_rows, n_features = rows.shape
    sides = np.ptp(rows, axis=0)
    neighbour = min(NEIGHBOUR, n_rows - 1)
    nobody = np.zeros(n_rows, dtype=bool)
    if neighbour < 1:
        return nobody
    near = NearestNeighbors(n_neighbors=neighbour).fit(rows / np.where(sides > 0, sides, 1.0))
    distances = near.kneighbors()[0][:, -1]
    logs = n_features * np.log(np.maximum(distances, TINY))
    volumes = np.exp(np.clip(logs - np.median(logs), -300, 300))
    share = (volumes > np.median(volumes)).astype(float)
    for _ in range(STEPS):
        shares = np.array([1 - share, share])
        mass = np.maximum(shares.sum(axis=1), TINY)
        rates = neighbour * mass / np.maximum(shares @ volumes, TINY)
        joint = np.log(mass / n_rows) + neighbour * np.log(rates)
        close, far = joint[:, None] - rates[:, None] * volumes
        share = 1 / (1 + np.exp(np.clip(close - far, -300, 300)))
    astray = share > 0.5
    return nobody if np.count_nonzero(astray) > MOST * n_rows else astray
