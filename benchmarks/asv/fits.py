"""Fits and predictions of each family and form; asv compares them from commit to commit.

The packed form of the E-step is what ordinary rows get; rows far from the mean, beside their
spread, get the exact one. asv imports this file without the rest of `benchmarks`.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from emgmm import GaussianMixture

warnings.simplefilter("ignore")  # that so few iterations do not converge is meant to be
N, D, K = 50_000, 8, 8
TYPES = ["full", "tied", "diag", "spherical"]


def clusters(n_rows: int = N, apart: float = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of unit variance, and means to start from."""
    random = np.random.default_rng(0)
    means = apart * random.standard_normal((K, D))
    return means[random.integers(K, size=n_rows)] + random.standard_normal((n_rows, D)), means


def model(means: NDArray[np.float64], covariance_type: str = "full") -> GaussianMixture:
    """Ten EM iterations from these means."""
    return GaussianMixture(
        K,
        covariance_type=covariance_type,
        init_params="random_from_data",
        means_init=means,
        max_iter=10,
        tol=0,
        random_state=0,
    )


class Fit:
    """Ten iterations, packed."""

    params: ClassVar = TYPES
    param_names: ClassVar = ["covariance_type"]

    def setup(self, covariance_type: str) -> None:
        self.X, means = clusters()
        self.model = model(means, covariance_type)

    def time_packed(self, covariance_type: str) -> None:  # noqa: ARG002
        self.model.fit(self.X)


class Exact:
    """Ten iterations on clusters too far apart for the packed form."""

    def setup(self) -> None:
        self.X, means = clusters(apart=1e6)
        self.model = model(means)

    def time_exact(self) -> None:
        self.model.fit(self.X)


class Small:
    """What a fit costs besides its arithmetic."""

    def setup(self) -> None:
        self.X, means = clusters(200)
        self.model = model(means, "diag")

    def time_small(self) -> None:
        self.model.fit(self.X)


class Whole:
    """A default fit, k-means and all, and a prediction."""

    def setup(self) -> None:
        self.X, _ = clusters()
        self.model = GaussianMixture(K, random_state=0)
        self.fitted = GaussianMixture(K, random_state=0, max_iter=1).fit(self.X)

    def time_default(self) -> None:
        self.model.fit(self.X)

    def time_score_samples(self) -> None:
        self.fitted.score_samples(self.X)


class Memory:
    """The peak of the process: X is 64 MB of it."""

    def setup(self) -> None:
        self.X, means = clusters(1_000_000)
        self.model = model(means).set_params(max_iter=1)

    def peakmem_fit(self) -> None:
        self.model.fit(self.X)
