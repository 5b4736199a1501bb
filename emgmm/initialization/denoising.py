"""Removal of rows that resemble noise before an initialization method assigns the others.

If the rows around a row are uniformly distributed, and d is the distance to its k-th nearest
neighbour, the volume of the ball of radius d, and so d^D, has a gamma distribution with shape k and
a rate proportional to the density. Rows of clusters and of noise follow a mixture of two of these.

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
from emgmm.tolerances import TINY
from emgmm.typing import Array

# Largest number of rows that are used: for more, the neighbour search would take longer than EM.
MOST_ROWS = 2**14

# k: with a smaller value the distances vary more, with a larger one small clusters resemble noise.
NEIGHBOUR = 12

# EM iterations for the two gamma distributions, from a split at the median.
N_ITER = 50

# Largest plausible fraction of noise: the remaining rows would not be clusters.
MOST_NOISE = 0.9


def denoised(start: Start) -> Start:
    """Return the start restricted to rows that do not resemble noise, if these are enough."""

    def begin(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        indices = rows.informative
        if len(indices) > MOST_ROWS:
            indices = np.sort(random.choice(indices, MOST_ROWS, replace=False))
        sample = rows.take(indices)
        values = sample.filled.astype(np.float64)
        is_noise = looks_like_noise(values)
        if len(np.unique(values[np.logical_not(is_noise)], axis=0)) < n_components:
            is_noise[:] = False  # too few distinct rows would remain for the clusters
        weights = np.ones(len(is_noise)) if sample.weights is None else sample.weights
        noise_weight = float(weights[is_noise].sum() / weights.sum())
        kept = sample.take(np.flatnonzero(np.logical_not(is_noise)))
        assignment = start(kept, n_components, random)
        return DenoisedAssignment(assignment, kept, noise_weight)

    return begin


@dataclass(frozen=True, eq=False)
class DenoisedAssignment(Assignment):
    """An assignment of the rows that remain after denoising, and the weight of the noise."""

    assignment: Assignment
    kept: Rows
    noise_weight: float

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:  # noqa: ARG002
        mixture = self.assignment.first_mixture(self.kept, m_step)
        relative = mixture.weights / mixture.weights.sum()
        weights = (relative * (1 - self.noise_weight)).astype(mixture.weights.dtype)
        return replace(mixture, weights=weights, noise=m_step.noise(self.noise_weight))


def looks_like_noise(rows: Array) -> NDArray[np.bool_]:
    """Return a mask, shape (n,), of the (n, D) rows that resemble noise.

    No row is selected if nearly all would be.
    """
    n_rows, n_features = rows.shape
    sides = np.ptp(rows, axis=0)
    neighbour = min(NEIGHBOUR, n_rows - 1)
    none = np.zeros(n_rows, dtype=bool)
    if neighbour < 1:
        return none
    neighbours = NearestNeighbors(n_neighbors=neighbour).fit(rows / np.where(sides > 0, sides, 1.0))
    distances = neighbours.kneighbors()[0][:, -1]
    logs = n_features * np.log(np.maximum(distances, TINY))
    volumes = np.exp(np.clip(logs - np.median(logs), -300, 300))
    noise = (volumes > np.median(volumes)).astype(float)
    for _ in range(N_ITER):
        responsibilities = np.array([1 - noise, noise])
        counts = np.maximum(responsibilities.sum(axis=1), TINY)
        rates = neighbour * counts / np.maximum(responsibilities @ volumes, TINY)
        constants = np.log(counts / n_rows) + neighbour * np.log(rates)
        log_cluster, log_noise = constants[:, None] - rates[:, None] * volumes
        noise = 1 / (1 + np.exp(np.clip(log_cluster - log_noise, -300, 300)))
    is_noise = noise > 0.5
    return none if np.count_nonzero(is_noise) > MOST_NOISE * n_rows else is_noise
