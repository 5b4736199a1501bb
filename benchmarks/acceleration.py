"""Acceleration: passes over the rows until EM's own optimum, plain and accelerated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emgmm.datasets import old_faithful
from emgmm.em import EM
from emgmm.families import FAMILIES
from emgmm.fitting import Given, first_mixture
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource
from emgmm.starts import STARTS

TYPES = ("full", "tied", "diag", "spherical")


@dataclass(frozen=True)
class Case:
    """Rows, a model, and the start that every scheme is given."""

    name: str
    X: NDArray[np.float64]
    n_components: int
    covariance_type: str
    start: str
    seed: int

    def em(self) -> EM:
        """EM's map at reg_covar=0, no pass made but the first."""
        return EM(ArraySource(self.X), FAMILIES[self.covariance_type], self.n_components, 0.0)

    @cached_property
    def first(self) -> Mixture:
        """theta_0."""
        random = np.random.RandomState(self.seed)
        return first_mixture(self.em(), STARTS[self.start], Given(), random)


def drawn(number: int, n_problems: int) -> Case:
    """Clusters whose nearest two means lie 6 down to 0.5 standard deviations apart."""
    random = np.random.default_rng(3000 + number)
    separation = 6 * (0.5 / 6) ** (number / (n_problems - 1))
    K, D = int(random.integers(2, 9)), int(random.integers(1, 11))
    means = random.normal(size=(K, D))
    distances = np.linalg.norm(means[:, None] - means, axis=2) + 1e9 * np.eye(K)
    means *= separation / distances.min()
    labels = random.choice(K, size=400 * K, p=random.dirichlet(np.full(K, 10.0)))
    factors = np.eye(D) + 0.3 * random.normal(size=(K, D, D)) / np.sqrt(D)
    noise = random.normal(size=(400 * K, D))
    X = means[labels] + np.einsum("nij,nj->ni", factors[labels], noise)
    covariance_type = TYPES[number % 4]
    name = f"{separation:.1f} sd, K {K}, D {D}, {covariance_type}"
    return Case(name, X, K, covariance_type, "kmeans", number)


def cases() -> Iterator[Case]:
    """Thirty problems from fixed seeds."""
    from sklearn.datasets import load_iris, load_wine

    for number in range(24):
        yield drawn(number, 24)
    faithful, iris, wine = old_faithful().rows, load_iris().data, load_wine().data
    yield Case("faithful, K 2, full", faithful, 2, "full", "kmeans", 0)
    yield Case("faithful, K 3, tied", faithful, 3, "tied", "kmeans", 0)
    yield Case("iris, K 3, full", iris, 3, "full", "kmeans", 0)
    yield Case("iris, K 4, diag", iris, 4, "diag", "kmeans", 0)
    yield Case("wine, K 3, full", wine, 3, "full", "kmeans", 0)
    yield Case("wine, K 4, diag", wine, 4, "diag", "kmeans", 0)
